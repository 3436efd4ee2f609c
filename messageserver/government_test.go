package messageserver

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/twohop/twohop/messageserver/internal/peer"
)

// aloneNode is a node that does not run.
func aloneNode(t *testing.T, edit ...func(*Options)) *Server {
	t.Helper()
	o := Options{Listen: "127.0.0.1:0", Admin: AdminOptions{Listen: "off"}, Log: slog.New(slog.DiscardHandler)}
	for _, e := range edit {
		e(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestRulesThatCannotBeTakenAreAskedForOnce hears with each heartbeat of a document that is refused.
func TestRulesThatCannotBeTakenAreAskedForOnce(t *testing.T) {
	g := aloneNode(t).government
	asks := func(has peer.Rules) bool {
		g.rulesHeard("b", has)
		g.mu.Lock()
		defer g.mu.Unlock()
		_, asked := g.newer["b"]
		clear(g.newer)
		return asked
	}
	one, two := peer.Rules{Epoch: 1 << 40, Version: 1, Hash: "0a"}, peer.Rules{Epoch: 1 << 40, Version: 2, Hash: "0b"}
	for range 2 {
		if !asks(one) {
			t.Error("newer rules are not asked for, or not again while there was no answer")
		}
	}
	g.judged("b", one, errors.New("not understood"))
	if asks(one) {
		t.Error("what was refused is asked for again")
	}
	if !asks(two) {
		t.Error("what is newer than what was refused is not asked for")
	}
	g.judged("b", two, nil)
	if asks(peer.Rules{}) {
		t.Error("older rules are asked for")
	}
}

// TestANodeThatKeepsNothingBeginsANewEpoch: what servers still enforce of its earlier run is older then.
func TestANodeThatKeepsNothingBeginsANewEpoch(t *testing.T) {
	g := aloneNode(t).government
	g.settle(t.Context())
	if at := g.rules.Standing(); at.Epoch == 0 || at.Version != 1 || at.Rules != 0 {
		t.Errorf("%+v, want an empty document", at)
	}
	inMesh := aloneNode(t, func(o *Options) {
		o.DataDir, o.Keeper = t.TempDir(), "node-1"
		o.Peers.Listen, o.Peers.Members = "127.0.0.1:0", []Member{{"node-1", 0, "127.0.0.1:7972"}, {"b", 1, "127.0.0.1:7973"}}
	}).government
	inMesh.settle(t.Context())
	if at := inMesh.rules.Standing(); at.Epoch != 0 {
		t.Errorf("%+v: the rules that other nodes still have would be lost", at)
	}
}
