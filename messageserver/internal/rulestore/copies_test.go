package rulestore

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

// copies are two nodes that watch a copy each of one file, over one store.
type copies struct {
	t      *testing.T
	store  Store
	a, b   *node
	fa, fb string
}

func newCopies(t *testing.T, text string) *copies {
	t.Helper()
	c := &copies{t: t, store: NewMemory(), fa: filepath.Join(t.TempDir(), "rules.yaml"), fb: filepath.Join(t.TempDir(), "rules.yaml")}
	write(t, c.fa, text)
	write(t, c.fb, text)
	c.a = startNode(t, Options{Store: c.store, File: c.fa})
	c.a.wantMark(version(1))
	c.b = startNode(t, Options{Store: c.store, File: c.fb})
	c.b.wantSettled(c.fb)
	c.b.wantMark(version(1))
	return c
}

// wantSettled waits until the node has decided upon the file as it is: it has been wrong and right again since.
func (n *node) wantSettled(path string) {
	n.t.Helper()
	text := readFile(path).text
	write(n.t, path, "nonsense")
	n.wantTrouble(TroubleInvalidFile)
	write(n.t, path, string(text))
	n.wantNoTrouble(TroubleInvalidFile)
}

func (n *node) emergency() governance.Mark {
	n.t.Helper()
	applied, err := n.Switch(n.t.Context(), Edit{Insert: []rules.Rule{offRule("Emergency")}, Author: "alice"})
	must(n.t, err)
	return applied.Mark
}

func (n *node) wantEmergency(m governance.Mark) {
	n.t.Helper()
	must(n.t, n.Load(n.t.Context()))
	if !n.off("Emergency") || n.Current().Mark != m {
		n.t.Errorf("the switch is gone: %v, want version %s", n.Current(), name(m))
	}
}

// TestACopyThatComesLaterChangesNothing: git brings the same file to one node after the other, and an operator was in between.
func TestACopyThatComesLaterChangesNothing(t *testing.T) {
	c := newCopies(t, offs("Pay"))
	write(t, c.fa, offs("Ask"))
	c.a.wantText(offs("Ask"))
	m := c.a.emergency()
	write(t, c.fb, offs("Ask"))
	c.b.wantSettled(c.fb)
	c.b.wantEmergency(m)
	// Both go on from there, whichever is first.
	write(t, c.fb, offs("Refund"))
	c.b.wantText(offs("Refund"))
	write(t, c.fa, offs("Refund"))
	c.a.wantSettled(c.fa)
	if m = c.a.Current().Mark; m != version(4) {
		t.Errorf("it is version %s", name(m))
	}
}

// TestACopyThatIsBehindChangesNothing when its node starts again, and while it catches up.
func TestACopyThatIsBehindChangesNothing(t *testing.T) {
	c := newCopies(t, offs("Pay"))
	for _, text := range []string{offs("Ask"), offs("Refund")} {
		write(t, c.fa, text)
		c.a.wantText(text)
	}
	m := c.a.emergency()
	c.b.stop()
	c.b = startNode(t, Options{Store: c.store, File: c.fb})
	c.b.wantWarning("rules file left alone", c.fb, "version 1.1 by file:"+c.fa, "version 1.3 by file:"+c.fa)
	write(t, c.fb, offs("Ask"))
	c.b.wantWarning("rules file left alone", "version 1.2 by file:"+c.fa)
	write(t, c.fb, offs("Refund"))
	c.b.wantSettled(c.fb)
	c.b.wantEmergency(m)
	if all := slices.Concat(c.a.Troubles(), c.b.Troubles()); len(all) != 0 {
		t.Errorf("troubles %v", all)
	}
	// What no file has had is news, also from a copy that was behind.
	write(t, c.fb, offs("Book"))
	c.b.wantText(offs("Book"))
}

// TestGoingBackIsAChange at the node that has the newest; the other copy follows in whatever steps.
func TestGoingBackIsAChange(t *testing.T) {
	c := newCopies(t, offs("Pay"))
	write(t, c.fa, offs("Ask"))
	c.a.wantText(offs("Ask"))
	write(t, c.fb, offs("Ask"))
	c.b.wantSettled(c.fb)
	write(t, c.fa, offs("Pay"))
	c.a.wantText(offs("Pay"))
	m := c.a.emergency()
	write(t, c.fb, offs("Pay"))
	c.b.wantSettled(c.fb)
	c.b.wantEmergency(m)
	write(t, c.fb, offs("Ask"))
	c.b.wantText(offs("Ask"))
}

// TestTwoCopiesAtOnce: another node is faster by a moment, and so is an operator after it.
func TestTwoCopiesAtOnce(t *testing.T) {
	store := &broken{Store: NewMemory()}
	a, b := newNode(t, Options{Store: store.Store, File: "/a"}), newNode(t, Options{Store: store, File: "/b"})
	fa, fb := follower{r: a.Rules}, follower{r: b.Rules}
	fa.take(t.Context(), []byte(offs("Pay")), nil)
	fb.take(t.Context(), []byte(offs("Pay")), nil)
	var m governance.Mark
	store.put = func(from governance.Mark, e Entry) error {
		store.put = nil
		fa.take(t.Context(), []byte(offs("Ask")), nil)
		m = a.emergency()
		return store.Store.Put(t.Context(), from, e)
	}
	fb.take(t.Context(), []byte(offs("Ask")), nil)
	if m != version(3) || len(b.Troubles()) != 0 {
		t.Fatalf("the switch made version %s; %v", name(m), b.Troubles())
	}
	b.wantEmergency(m)
}
