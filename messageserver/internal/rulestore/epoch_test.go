package rulestore

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// clocked returns a node with a store that is new, whose wall clock is ahead, and which makes epochs as nodes do.
func clocked(t *testing.T, ahead time.Duration) *node {
	t.Helper()
	n := newNode(t, Options{Store: NewMemory()})
	n.o.Epoch = nil
	n.o.Calendar.Set(n.o.Now(), time.Now().Add(ahead).UnixNano())
	return n
}

// TestAStoreThatBeginsAnewIsNewer: the servers and nodes that stay connected over the restart of a node without a data folder have the
// marks of its last life, and must take the ones of this.
func TestAStoreThatBeginsAnewIsNewer(t *testing.T) {
	before := uint64(time.Since(epochBegan).Seconds())
	first := clocked(t, 0)
	one := first.apply(offs("Pay")).Mark
	if after := uint64(time.Since(epochBegan).Seconds()); one.Epoch < before || one.Epoch > after || one.Version != 1 {
		t.Errorf("the first is %s, want an epoch of the seconds since 2026, %d to %d", name(one), before, after)
	}
	if two := first.apply(offs("Ask")).Mark; two != (governance.Mark{Epoch: one.Epoch, Version: 2}) {
		t.Errorf("the second is %s after %s", name(two), name(one))
	}
	witness := newNode(t, Options{})
	if err := witness.Adopt(first.Current()); err != nil {
		t.Fatal(err)
	}
	second := clocked(t, time.Second)
	dry, err := second.Apply(t.Context(), Change{Text: []byte(empty + "# anew\n"), Author: "bob", DryRun: true})
	if err != nil || dry.Version != 1 || dry.Epoch <= one.Epoch {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	second.apply(empty + "# anew\n")
	if err := witness.Adopt(second.Current()); err != nil || witness.off("Ask") {
		t.Errorf("who has %s has not taken %s: %v", name(first.Current().Mark), name(second.Current().Mark), err)
	}
	// Whoever has rules goes on from them, with whatever store.
	third := clocked(t, time.Hour)
	if err := third.Adopt(told(version(7), offs("Pay"))); err != nil {
		t.Fatal(err)
	}
	if got := third.apply(offs("Refund")).Mark; got != version(8) {
		t.Errorf("it is %s, want 1.8", name(got))
	}
}

func TestAClockBefore2026(t *testing.T) {
	n := clocked(t, 0)
	n.o.Calendar.Set(n.o.Now(), 0)
	if got := n.apply(offs("Pay")).Mark; got != version(1) {
		t.Errorf("it is %s", name(got))
	}
}

// TestAFileLetsOthersBeginAStore that was lost, with what they have.
func TestAFileLetsOthersBeginAStore(t *testing.T) {
	n := clocked(t, 0)
	n.o.File, n.o.FileWaits = "rules.yaml", time.Hour
	f := follower{r: n.Rules}
	f.take(t.Context(), []byte(offs("Pay")), nil)
	if !isZero(n.Current().Mark) || f.retry == nil || len(n.Troubles()) != 0 {
		t.Fatalf("it has not waited: %v, %v", n.Current(), n.Troubles())
	}
	if err := n.Adopt(told(version(7), offs("Ask"))); err != nil {
		t.Fatal(err)
	}
	f.take(t.Context(), []byte(offs("Pay")), nil)
	if got := n.Current(); got.Mark != version(8) || string(got.Text) != offs("Pay") {
		t.Errorf("it is %v", got)
	}
	alone := clocked(t, 0)
	alone.o.File, alone.o.FileWaits = "rules.yaml", time.Nanosecond
	f = follower{r: alone.Rules}
	f.take(t.Context(), []byte(offs("Pay")), nil)
	if got := alone.Current(); got.Version != 1 || f.retry != nil {
		t.Errorf("it waits for ever: %v", got)
	}
}
