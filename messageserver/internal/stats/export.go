package stats

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Line is one line of an export: what one subject has counted in one minute. docs/statistics.md explains it.
type Line struct {
	Version int               `json:"v"`
	Minute  time.Time         `json:"minute"`
	Node    string            `json:"node"`
	Caller  string            `json:"caller"`
	Module  string            `json:"module"`
	Method  string            `json:"method"`
	Entered uint64            `json:"entered"`
	Started uint64            `json:"started"`
	Peak    uint64            `json:"peak"`
	Codes   map[string]uint64 `json:"codes"`
	Classes map[string]uint64 `json:"classes"`
	SumUS   uint64            `json:"sum_us"`
	Hist    Histogram         `json:"hist"`
}

// LineVersion is the version of the export. Fields may be added to it; any other change has another version.
const LineVersion = 1

// Export writes every kept minute from a time on, before another one, as JSON lines, by time and then by caller, module and method.
// A zero to is now. It holds the file for as long as reading an hour takes, however slowly w takes it.
func (b *Books) Export(ctx context.Context, w io.Writer, from, to time.Time) error {
	from, to, err := b.span(Query{From: from, To: to, Step: time.Minute})
	if err != nil {
		if errors.Is(err, errStep) {
			err = fmt.Errorf("from: is %s, must be %s or later: minutes are kept for 8 days", from.Format(time.RFC3339),
				minuteOf(b.opts.Wall().Add(-KeepMinutes)).Format(time.RFC3339))
		}
		return err
	}
	buffer := bufio.NewWriter(w)
	lines := json.NewEncoder(buffer)
	lines.SetEscapeHTML(false)
	for ; from.Before(to); from = from.Truncate(time.Hour).Add(time.Hour) {
		end := earlier(from.Truncate(time.Hour).Add(time.Hour), to)
		minutes, err := b.rollups.read(from, end, false, b.opts.Wall(), 1<<62)
		if err != nil {
			return err
		}
		for _, m := range minutes {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := exportMinute(lines, b.opts.Node, &m); err != nil {
				return err
			}
		}
	}
	return buffer.Flush()
}

func exportMinute(lines *json.Encoder, node string, m *stored) error {
	var failed error
	err := m.visit(func(r record) {
		if failed != nil {
			return
		}
		failed = lines.Encode(Line{
			Version: LineVersion, Minute: m.begins, Node: node, Caller: r.name.caller, Module: r.name.module, Method: r.name.method,
			Entered: r.entered, Started: r.started, Peak: r.peak, Codes: r.codes.byName(), Classes: r.codes.byClass(),
			SumUS: r.sumUS, Hist: r.times,
		})
	})
	if err != nil {
		return m.broken(err)
	}
	return failed
}
