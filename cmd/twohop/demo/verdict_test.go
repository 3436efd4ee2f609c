package demo

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// scene is a set of ledgers that a test writes by hand.
type scene struct {
	t         *testing.T
	directory string
	books     *books
}

func newScene(t *testing.T) *scene {
	s := &scene{t, t.TempDir(), newBooks()}
	for _, m := range []struct{ name, module string }{{"web-1", moduleWeb}, {"fishtrade-1", moduleTrade}, {"fishtrade-2", moduleTrade}, {"rank-1", moduleRank}} {
		s.books.open(s.directory, m.name, m.module)
	}
	return s
}

// write appends records of one process; each has key 1-1 and amount 5 unless it says something else.
func (s *scene) write(name string, records ...record) {
	s.t.Helper()
	l, err := openLedger(ledgerPath(s.directory, name))
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.close()
	for _, r := range records {
		if r.Key == 0 {
			r.Key = newKey(1, 1)
		}
		if r.Amount == 0 {
			r.Amount = 5
		}
		if err := l.append(r); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *scene) judge(kills int) verdict {
	s.t.Helper()
	if err := s.books.read(); err != nil {
		s.t.Fatal(err)
	}
	return s.books.judge(kills)
}

var (
	invoke = record{Kind: kindInvoke}
	start  = record{Kind: kindStart}
	moved  = record{Kind: kindMoved}
	added  = record{Kind: kindAdded}
)

func told(c class) record { return record{Kind: kindEnd, Class: c} }

func refusal() record {
	return record{Kind: kindEnd, Class: classExecuted, Code: "APP_ERROR", App: codeLimit}
}

// TestVerdict: what the caller, fishtrade-1 and fishtrade-2 have on record, and the lie that must be found ("" for none).
func TestVerdict(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		name            string
		web, one, other []record
		want            string
	}{
		{"OK, moved", []record{invoke, told(classOK)}, []record{start, moved}, nil, none},
		{"above the limit", []record{invoke, refusal()}, []record{start}, nil, none},
		{"EXECUTED for another reason, moved", []record{invoke, told(classExecuted)}, []record{start, moved}, nil, none},
		{"NOT_EXECUTED, nothing started", []record{invoke, told(classNotExecuted)}, nil, nil, none},
		{"UNKNOWN, nothing started", []record{invoke, told(classUnknown)}, nil, nil, none},
		{"UNKNOWN, started", []record{invoke, told(classUnknown)}, []record{start}, nil, none},
		{"UNKNOWN, moved", []record{invoke, told(classUnknown)}, []record{start, moved}, nil, none},
		{"the caller was killed before", []record{invoke}, nil, nil, none},
		{"the caller was killed after", []record{invoke}, nil, []record{start, moved}, none},

		{"OK, never started", []record{invoke, told(classOK)}, nil, nil, "told OK, and it started never"},
		{"OK, not moved", []record{invoke, told(classOK)}, []record{start}, nil, "told OK, and it moved never"},
		{"OK, started twice", []record{invoke, told(classOK)}, []record{start, moved}, []record{start}, "told OK, and it started 2 times"},
		{"OK, moved twice", []record{invoke, told(classOK)}, []record{start, moved, moved}, nil, "it started once, and moved 2 times"},
		{"OK, moved elsewhere too", []record{invoke, told(classOK)}, []record{start, moved}, []record{start, moved}, "started 2 times"},
		{"OK, without a start", []record{invoke, told(classOK)}, []record{moved}, nil, "told OK, and it started never"},
		{"EXECUTED, never started", []record{invoke, refusal()}, nil, nil, "told EXECUTED, and it started never"},
		{"EXECUTED, started twice", []record{invoke, refusal()}, []record{start, start}, nil, "told EXECUTED, and it started 2 times"},
		{"above the limit, moved", []record{invoke, refusal()}, []record{start, moved}, nil, "above the limit, and it moved once"},
		{"NOT_EXECUTED, started", []record{invoke, told(classNotExecuted)}, nil, []record{start}, "told NOT_EXECUTED, and it started once"},
		{"NOT_EXECUTED, moved", []record{invoke, told(classNotExecuted)}, []record{start, moved}, nil, "told NOT_EXECUTED, and it started once"},
		{"UNKNOWN, started twice", []record{invoke, told(classUnknown)}, []record{start}, []record{start}, "told UNKNOWN, and it started 2 times"},
		{"UNKNOWN, moved without a start", []record{invoke, told(classUnknown)}, []record{moved}, nil, "it started never, and moved once"},
		{"killed, started twice", []record{invoke}, []record{start}, []record{start}, "told nothing (UNKNOWN), and it started 2 times"},
		{"nobody invoked it", nil, []record{start, moved}, nil, "nobody invoked it, and it started once"},
		{"nobody invoked it, moved", nil, []record{moved}, nil, "nobody invoked it"},
		{"nobody invoked it, ended", []record{told(classOK)}, nil, nil, "it was invoked never and ended once"},
		{"ended twice", []record{invoke, told(classOK), told(classUnknown)}, []record{start, moved}, nil, "invoked once and ended 2 times"},
		{"another amount", []record{invoke, told(classOK)}, []record{start, {Kind: kindMoved, Amount: 6}}, nil, "asked for 5, and it moved 6"},
		{
			"the answer of another call",
			[]record{invoke, {Kind: kindEnd, Class: classOK, Crossed: "1-2"}},
			[]record{start, moved}, nil, "given the answer of another call",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			// Somebody else's call, so that there is one.
			other := newKey(2, 1)
			s.write("web-1", record{Kind: kindInvoke, Key: other}, record{Kind: kindEnd, Key: other, Class: classOK})
			s.write("fishtrade-1", record{Kind: kindStart, Key: other}, record{Kind: kindMoved, Key: other})
			s.write("web-1", c.web...)
			s.write("fishtrade-1", c.one...)
			s.write("fishtrade-2", c.other...)
			v := s.judge(0)
			if len(v.faults) > 0 {
				t.Errorf("faults: %q", v.faults)
			}
			if c.want == none {
				if len(v.lies) > 0 {
					t.Errorf("a lie is found where none is: %v", v.lies)
				}
				return
			}
			if len(v.lies) != 1 || v.lies[0].key != newKey(1, 1) || !strings.Contains(v.lies[0].what, c.want) {
				t.Fatalf("found %v, want one lie about 1-1: %q", v.lies, c.want)
			}
			var shown bytes.Buffer
			if err := v.print(&shown, s.books); err != nil {
				t.Fatal(err)
			}
			wantLines(t, shown.String(), "lie: fishtrade.SendRocket, call 1-1: "+v.lies[0].what)
			for _, r := range c.one {
				wantLines(t, shown.String(), "   fishtrade-1  "+r.Kind.sample(r))
			}
			if n := strings.Count(shown.String(), "\n"); n != 1+len(c.web)+len(c.one)+len(c.other) {
				t.Errorf("both sides have %d lines:\n%s", n, shown.String())
			}
		})
	}
}

// sample is what a record of a scene looks like when it is shown.
func (k kind) sample(r record) string {
	if r.Amount == 0 {
		r.Amount = 5
	}
	return r.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
}

// TestVerdictAboutRank: fishtrade is the caller of rank.Add, and its ledger says what it was told.
func TestVerdictAboutRank(t *testing.T) {
	for _, c := range []struct {
		name        string
		trade, rank []record
		want        string
	}{
		{"OK, added", []record{invoke, told(classOK)}, []record{start, added}, ""},
		{"UNKNOWN", []record{invoke, told(classUnknown)}, []record{start}, ""},
		{"fishtrade was killed", []record{invoke}, []record{start, added}, ""},
		{"NOT_EXECUTED", []record{invoke, told(classNotExecuted)}, nil, ""},
		{"OK, not added", []record{invoke, told(classOK)}, []record{start}, "told OK, and it added never"},
		{"NOT_EXECUTED, added", []record{invoke, told(classNotExecuted)}, []record{start, added}, "told NOT_EXECUTED, and it started once"},
		{"nobody invoked it", nil, []record{start, added}, "nobody invoked it"},
		{"UNKNOWN, twice", []record{invoke, told(classUnknown)}, []record{start, start}, "told UNKNOWN, and it started 2 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.write("web-1", invoke, told(classOK))
			s.write("fishtrade-1", append([]record{start, moved}, c.trade...)...)
			s.write("rank-1", c.rank...)
			v := s.judge(0)
			switch {
			case c.want == "" && len(v.lies) > 0:
				t.Errorf("a lie is found where none is: %v", v.lies)
			case c.want != "" && (len(v.lies) != 1 || v.lies[0].method != "rank.Add" || !strings.Contains(v.lies[0].what, c.want)):
				t.Errorf("found %v, want one lie of rank.Add: %q", v.lies, c.want)
			}
		})
	}
}

func TestVerdictPrintsTheFirstLies(t *testing.T) {
	s := newScene(t)
	for n := range uint64(12) {
		s.write("web-1", record{Kind: kindInvoke, Key: newKey(1, n+1)}, record{Kind: kindEnd, Key: newKey(1, n+1), Class: classOK})
	}
	v := s.judge(0)
	var shown bytes.Buffer
	if err := v.print(&shown, s.books); err != nil {
		t.Fatal(err)
	}
	if len(v.lies) != 12 || strings.Count(shown.String(), "lie: ") != maxShown || !strings.HasSuffix(shown.String(), "and 2 lies more\n") {
		t.Errorf("%d lies, shown:\n%s", len(v.lies), shown.String())
	}
	r := s.books.result(0)
	if text := strings.Join(s.books.words(&v, &r), "\n"); !strings.Contains(text, "ledger: 0 moves, 12 lies") {
		t.Errorf("the summary says:\n%s", text)
	}
}

func TestVerdictNeedsLedgersThatCanBe(t *testing.T) {
	s := newScene(t)
	wantFault(t, s.judge(0), "nothing was called")

	s = newScene(t)
	s.write("web-1", invoke, told(classOK))
	s.write("fishtrade-1", start, moved)
	file, err := os.OpenFile(ledgerPath(s.directory, "fishtrade-1"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(`{"kind":"sta`); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.judge(0), "1 records of the ledgers are cut off, and 0 processes were killed")

	s = newScene(t)
	s.write("web-1", invoke, told(classOK), moved)
	s.write("fishtrade-1", start, moved)
	wantFault(t, s.judge(0), "1 records stand in a ledger that should not have them")
}

func wantFault(t *testing.T, v verdict, want string) {
	t.Helper()
	if len(v.faults) != 1 || !strings.Contains(v.faults[0], want) {
		t.Errorf("faults are %q, want %q", v.faults, want)
	}
}
