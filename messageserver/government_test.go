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
	if !asks(one) || !asks(one) {
		t.Error("newer rules are not asked for, or not again while there was no answer")
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
