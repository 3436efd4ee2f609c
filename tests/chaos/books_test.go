//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// event is something that happened to a call somewhere.
type event struct {
	at int64
	by string // the module's process
}

// call is what all ledgers say of one call.
type call struct {
	key     uint64
	by      string
	method  string
	invoked int64
	budget  time.Duration

	ends         []event
	class, code  string // of the last end
	text         string
	node         string
	try, unknown []string
	session      uint64
	hops         []string
	wrong        string

	starts, dones []event
}

// ended is when the caller was told.
func (c *call) ended() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1].at
}

// took is how long the caller waited.
func (c *call) took() time.Duration { return time.Duration(c.ended() - c.invoked) }

func (c *call) String() string {
	return fmt.Sprintf("call %s of %s by %s: %s after %v: %s", keyText(c.key), c.method, c.by, c.code, c.took().Round(time.Millisecond), c.text)
}

// opening is a session that a module has opened.
type opening struct {
	event
	node    string
	session uint64
}

// books are all ledgers of a world.
type books struct {
	since    int64
	pages    []*page
	byKey    map[uint64]*call
	calls    []*call // in the order of reading
	openings []opening

	stoodStill map[string]bool // modules that were stopped for a while
}

func newBooks() *books {
	return &books{since: now(), byKey: map[uint64]*call{}, stoodStill: map[string]bool{}}
}

func (b *books) open(name, path string) { b.pages = append(b.pages, &page{name: name, path: path}) }

// read takes what has been added to the ledgers since.
func (b *books) read(t *testing.T) {
	t.Helper()
	for _, p := range b.pages {
		p.read(t, func(r *record) { b.note(p.name, r) })
	}
}

func (b *books) note(by string, r *record) {
	if r.Kind == kindOpen {
		b.openings = append(b.openings, opening{event{r.At, by}, r.Node, r.Session})
		return
	}
	c := b.byKey[r.Key]
	if c == nil {
		c = &call{key: r.Key}
		b.byKey[r.Key] = c
		b.calls = append(b.calls, c)
	}
	e := event{r.At, by}
	switch r.Kind {
	case kindInvoke:
		c.by, c.method, c.invoked, c.budget = by, r.Method, r.At, r.Budget
	case kindEnd:
		c.ends = append(c.ends, e)
		c.class, c.code, c.text, c.node, c.try, c.unknown = r.Class, r.Code, r.Text, r.Node, r.Try, r.Unknown
		c.session, c.hops, c.wrong = r.Session, r.Hops, r.Wrong
	case kindStart:
		c.starts = append(c.starts, e)
	case kindDone:
		c.dones = append(c.dones, e)
	}
}

// nodeAt returns the node of a caller's newest session at a time, and "" if it had none yet.
func (b *books) nodeAt(by string, at int64) (node string) {
	newest := int64(0)
	for _, o := range b.openings {
		if o.by == by && o.at <= at && o.at > newest {
			node, newest = o.node, o.at
		}
	}
	return node
}

// wantOpened waits until a module has opened a session since a time.
func (w *world) wantOpened(name string, since int64) {
	w.t.Helper()
	w.eventually(name+" has a new session", patience, func() bool {
		w.books.read(w.t)
		return slices.ContainsFunc(w.books.openings, func(o opening) bool { return o.by == name && o.at >= since })
	})
}

// span is a time that a story looks at; to is 0 while it has no end.
type span struct{ from, to int64 }

func (s span) holds(at int64) bool { return at >= s.from && (s.to == 0 || at < s.to) }

// by returns the calls of a caller that were begun within a time, in the order in which they were.
func (w *world) by(m *module, when span) []*call {
	w.t.Helper()
	w.books.read(w.t)
	var all []*call
	for _, c := range w.books.calls {
		if c.by == m.Name && when.holds(c.invoked) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(x, y *call) int { return int(x.invoked - y.invoked) })
	return all
}

// counts says how calls ended.
func counts(calls []*call) string {
	n := map[string]int{}
	for _, c := range calls {
		if len(c.ends) == 0 {
			n["not ended"]++
		} else {
			n[c.code]++
		}
	}
	text := fmt.Sprintf("%d calls:", len(calls))
	for _, code := range slices.Sorted(func(yield func(string) bool) {
		for code := range n {
			if !yield(code) {
				return
			}
		}
	}) {
		text += fmt.Sprintf(" %s %d", code, n[code])
	}
	return text
}

// wantAllOK fails the story if one of the calls that a caller began within a time did not succeed, or if there are few.
func (w *world) wantAllOK(m *module, when span) {
	w.t.Helper()
	calls := w.by(m, when)
	w.logf("%s → %s: %s", m.Name, m.Calls, counts(calls))
	if len(calls) < 20 {
		w.t.Errorf("%s has made %d calls, too few to show anything", m.Name, len(calls))
	}
	for _, c := range calls {
		if c.code != "OK" && len(c.ends) > 0 {
			w.t.Fatalf("%s, %.3f s after the beginning, must have succeeded (%s)", c, time.Duration(c.invoked-when.from).Seconds(), counts(calls))
		}
	}
}

// wantFlow waits until each caller has had so many successes since a time.
func (w *world) wantFlow(since int64, callers ...*module) {
	w.t.Helper()
	for _, m := range callers {
		w.eventually(m.Name+" gets answers", patience, func() bool {
			ok := 0
			for _, c := range w.by(m, span{from: since}) {
				if c.code == "OK" {
					ok++
				}
			}
			return ok >= m.Workers
		})
	}
}

// inFlight is the least number of calls that a fault must overlap to have shown something.
const inFlight = 100

// wantOverlap fails the story if few calls were under way or begun while a fault lasted.
func (w *world) wantOverlap(when span) {
	w.t.Helper()
	w.books.read(w.t)
	n := 0
	for _, c := range w.books.calls {
		if c.invoked > 0 && (when.to == 0 || c.invoked < when.to) && (len(c.ends) == 0 || c.ended() > when.from) {
			n++
		}
	}
	w.logf("the fault of %v overlapped %d calls", time.Duration(when.to-when.from).Round(time.Millisecond), n)
	if n < inFlight {
		w.t.Errorf("void: the fault overlapped %d calls, must be at least %d", n, inFlight)
	}
}
