package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestTableFitsATerminal: 24 lines of 80 columns, with numbers as they are after days.
func TestTableFitsATerminal(t *testing.T) {
	const many = 123_456_789
	c := newCast(nil, "", nil)
	b := newBooks()
	for _, a := range []*account{b.send, b.rank} {
		a.invoked, a.ended = many, many-1000
		a.hops = hops{0, many, many}
		for _, one := range classes {
			a.told[one] = many
		}
		for _, n := range c.nodes {
			a.entered[n.name] = hops{0, many, many}
		}
	}
	for _, i := range c.instances {
		b.open("", i.name, i.role)
		p := b.pages[len(b.pages)-1]
		p.started, p.done = many, many
	}
	c.nodes[2].down = true
	x := &chaos{
		seed: 1<<32 - 1, kills: map[string]int{roleNode: 99_999, moduleRank: 99_999},
		last: "fishtrade-2", lastAt: 100 * time.Hour, back: 99_999 * time.Millisecond,
	}
	table := &table{books: b, cast: c, chaos: x, rate: 99_999}
	lines := table.lines(100 * time.Hour)
	if len(lines) > 23 { // the cursor needs one
		t.Errorf("%d lines, must be 23 at most", len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	text := strings.Join(lines, "\n")
	wantLines(t, text,
		"  node-1         up       123,456,789  123,456,789  123,456,789  123,456,789",
		"  node-3         killed   123,456,789  123,456,789  123,456,789  123,456,789",
		"  fishtrade-2    up       123,456,789  123,456,789",
		"  chaos: seed 4294967295, killed 99,999 nodes and 99,999 instances")
	if t.Failed() {
		t.Log("\n" + text)
	}
}

func TestHopsAreCountedWhereCallsEnter(t *testing.T) {
	a := newAccount("m.M", "done")
	for _, nodes := range [][]string{{"a"}, {"a", "b"}, {"b", "a"}, {"b", "a"}, nil, {"a", "b", "c"}} {
		a.note(&record{Kind: kindEnd, Class: classOK, Nodes: nodes})
	}
	if want := (hops{2, 1, 3}); a.hops != want {
		t.Errorf("all: %v, want %v", a.hops, want)
	}
	if want := (hops{1, 1, 1}); a.entered["a"] != want {
		t.Errorf("at a: %v, want %v", a.entered["a"], want)
	}
	if want := (hops{0, 0, 2}); a.entered["b"] != want {
		t.Errorf("at b: %v, want %v", a.entered["b"], want)
	}
}
