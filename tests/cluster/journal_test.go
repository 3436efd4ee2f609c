package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// journal is what a node has written to its log.
type journal struct {
	mu    sync.Mutex
	lines []string
}

var _ slog.Handler = (*journal)(nil)

// Enabled implements slog.Handler.
func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler: event key=value key=value.
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return nil
}

// WithAttrs implements slog.Handler. Nodes use none.
func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }

// WithGroup implements slog.Handler. Nodes use none.
func (j *journal) WithGroup(string) slog.Handler { return j }

// with returns the lines that have all the words.
func (j *journal) with(words ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}
