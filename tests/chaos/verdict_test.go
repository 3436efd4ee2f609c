//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lie returns what the ledgers say against what the caller was told, or "".
func (c *call) lie() string {
	starts, dones := len(c.starts), len(c.dones)
	switch {
	case c.invoked == 0:
		return "nobody invoked it"
	case len(c.ends) != 1:
		return fmt.Sprintf("its caller was told %d times how it ended", len(c.ends))
	case c.wrong != "":
		return c.wrong
	case starts > 1:
		return fmt.Sprintf("it started %d times, and is not to be retried", starts)
	case dones > starts:
		return "it was done more often than it started"
	}
	switch c.class {
	case "SUCCESS":
		if starts != 1 || dones != 1 {
			return fmt.Sprintf("it succeeded, and started %d times and was done %d times", starts, dones)
		}
	case "NOT_EXECUTED":
		if starts != 0 {
			return "it was not executed, and started"
		}
	case "EXECUTED":
		return "it was executed without a result, which no handler here does"
	case "UNKNOWN":
	default:
		return fmt.Sprintf("its class is %q", c.class)
	}
	if len(c.hops) > 2 || len(c.hops) == 2 && c.hops[0] == c.hops[1] {
		return fmt.Sprintf("it crossed %s", strings.Join(c.hops, ", "))
	}
	return ""
}

// afterDeadline is how long after its deadline a call was ended, and how long after it its handler started; negative
// where it was before.
func (c *call) afterDeadline() (ended, started time.Duration) {
	deadline := c.invoked + int64(c.budget)
	ended, started = time.Duration(c.ended()-deadline), -c.budget
	for _, s := range c.starts {
		started = max(started, time.Duration(s.at-deadline))
	}
	return ended, started
}

// verdict compares all ledgers. It returns every lie, and how late the latest end and start were.
func (b *books) verdict() (lies []string, ended, started time.Duration) {
	ended, started = -time.Hour, -time.Hour
	for _, c := range b.calls {
		if lie := c.lie(); lie != "" {
			lies = append(lies, fmt.Sprintf("%s: %s\n    starts %v, done %v, hops %v", c, lie, c.starts, c.dones, c.hops))
			continue
		}
		e, s := c.afterDeadline()
		started = max(started, s)
		if !b.stoodStill[c.by] {
			ended = max(ended, e)
		}
	}
	return lies, ended, started
}

// judge fails the story for every lie, and for calls that ended too late.
func (w *world) judge() {
	w.t.Helper()
	lies, ended, started := w.books.verdict()
	w.logf("verdict: %s; lies: %d; the latest end was %v after its deadline, the latest start %v", counts(w.books.calls), len(lies),
		ended.Round(time.Millisecond), started.Round(time.Millisecond))
	for _, lie := range lies[:min(len(lies), 10)] {
		w.t.Errorf("lie: %s", lie)
	}
	if w.judgesStarts && started > late*slack {
		w.t.Errorf("a handler started %v after the deadline, may be %v × %d", started, late, slack)
	}
	if ended > overdue*slack {
		w.t.Errorf("a call ended %v after its deadline, may be %v × %d", ended, overdue, slack)
	}
}

// TestVerdict: what the caller and the handlers have on record, and what must be found.
func TestVerdict(t *testing.T) {
	invoke := record{Kind: kindInvoke, Budget: time.Second}
	end := func(class string, hops ...string) record { return record{Kind: kindEnd, Class: class, Hops: hops} }
	start, done := record{Kind: kindStart}, record{Kind: kindDone}
	for _, c := range []struct {
		name    string
		records []record
		want    string
	}{
		{"OK", []record{invoke, start, done, end("SUCCESS", "a", "b")}, ""},
		{"not executed", []record{invoke, end("NOT_EXECUTED")}, ""},
		{"unknown, ran", []record{invoke, start, end("UNKNOWN"), done}, ""},
		{"unknown, never ran", []record{invoke, end("UNKNOWN")}, ""},
		{"OK, never started", []record{invoke, end("SUCCESS")}, "started 0 times"},
		{"OK, not done", []record{invoke, start, end("SUCCESS")}, "done 0 times"},
		{"OK with another answer", []record{invoke, start, done, {Kind: kindEnd, Class: "SUCCESS", Wrong: "another"}}, "another"},
		{"not executed, started", []record{invoke, start, end("NOT_EXECUTED")}, "it was not executed, and started"},
		{"unknown, started twice", []record{invoke, start, start, end("UNKNOWN")}, "started 2 times"},
		{"done without a start", []record{invoke, done, end("UNKNOWN")}, "done more often"},
		{"nobody invoked it", []record{start, done}, "nobody invoked it"},
		{"never told", []record{invoke, start, done}, "told 0 times"},
		{"told twice", []record{invoke, end("UNKNOWN"), end("NOT_EXECUTED")}, "told 2 times"},
		{"no class", []record{invoke, end("")}, "its class is"},
		{"three nodes", []record{invoke, start, done, end("SUCCESS", "a", "b", "c")}, "crossed a, b, c"},
		{"one node twice", []record{invoke, start, done, end("SUCCESS", "a", "a")}, "crossed a, a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks()
			for i, r := range c.records {
				r.At, r.Key = int64(i+1), 1<<keyBits|1
				b.note("web", &r)
			}
			lies, _, _ := b.verdict()
			if c.want == "" && len(lies) > 0 || c.want != "" && (len(lies) != 1 || !strings.Contains(lies[0], c.want)) {
				t.Errorf("found %q, want %q", lies, c.want)
			}
		})
	}
}

func TestVerdictSeesWhatIsLate(t *testing.T) {
	b := newBooks()
	second := int64(time.Second)
	for _, r := range []record{
		{At: second, Kind: kindInvoke, Key: 1, Budget: time.Second}, {At: 2*second + 7, Kind: kindStart, Key: 1},
		{At: 2*second + 9, Kind: kindEnd, Key: 1, Class: "UNKNOWN"},
		{At: second, Kind: kindInvoke, Key: 2, Budget: time.Second}, {At: second + 1, Kind: kindEnd, Key: 2, Class: "NOT_EXECUTED"},
	} {
		b.note("web", &r)
	}
	if lies, ended, started := b.verdict(); len(lies) > 0 || ended != 9 || started != 7 {
		t.Errorf("found %q, the latest end %v and start %v, want none, 9ns and 7ns", lies, ended, started)
	}
}

// TestLedgerIsReadWhileItGrows: a line that is not whole yet is read when it is.
func TestLedgerIsReadWhileItGrows(t *testing.T) {
	path := t.TempDir() + "/ledger"
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	p := &page{name: "x", path: path}
	var got []uint64
	read := func() { p.read(t, func(r *record) { got = append(got, r.Key) }) }
	read()
	l.write(&record{Kind: kindStart, Key: 1})
	read()
	if _, err := l.file.WriteString(`{"at":1,"kind":"start",`); err != nil {
		t.Fatal(err)
	}
	read()
	if _, err := l.file.WriteString("\"key\":2}\n"); err != nil {
		t.Fatal(err)
	}
	read()
	if !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("read %v, want 1 and 2, each once", got)
	}
}
