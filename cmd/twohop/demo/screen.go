package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// screen is what people see. Its methods may be called concurrently. When nobody reads it any more, a signal says so
// (SIGPIPE); errors of its writers add nothing.
type screen struct {
	// Static after construction.
	out, errors io.Writer
	live        bool // out is a terminal: a table is redrawn in place
	quiet       bool // out is for the result only

	// Guarded by mu.
	mu    sync.Mutex
	drawn []string // the table as it stands there
}

// What a terminal understands.
const (
	eraseBelow = "\x1b[J"
	wrapOff    = "\x1b[?7l"
	wrapOn     = "\x1b[?7h"
)

func up1(lines int) string { return fmt.Sprintf("\x1b[%dA\r", lines) }

// draw replaces the table.
func (s *screen) draw(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
	s.drawn = lines
	s.drawLocked()
}

func (s *screen) eraseLocked() {
	if len(s.drawn) > 0 {
		_, _ = fmt.Fprint(s.out, up1(len(s.drawn)), eraseBelow)
	}
}

func (s *screen) drawLocked() {
	if len(s.drawn) > 0 {
		_, _ = fmt.Fprint(s.out, wrapOff, strings.Join(s.drawn, "\n"), "\n", wrapOn)
	}
}

// sayf prints a line, unless only the result is wanted.
func (s *screen) sayf(format string, args ...any) {
	if s.quiet {
		return
	}
	s.printf(s.out, format, args...)
}

// warnf prints a line on stderr.
func (s *screen) warnf(format string, args ...any) { s.printf(s.errors, "demo: "+format, args...) }

// printf prints a line above the table.
func (s *screen) printf(to io.Writer, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
	_, _ = fmt.Fprintf(to, format+"\n", args...)
	s.drawLocked()
}

// leave lets the table stand: what is printed afterwards comes below it.
func (s *screen) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = nil
}
