package peer

import (
	"sync"
	"testing"
	"time"
)

// blackboard is what each node of a mesh has in force, and what it heard of the others.
type blackboard struct {
	mu    sync.Mutex
	own   map[string]Rules
	heard map[string]map[string]Rules // by who heard it, and of whom
}

func (b *blackboard) edit(o *Options) {
	node := o.Node
	o.Rules = func() Rules {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.own[node]
	}
	o.RulesHeard = func(of string, r Rules) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.heard[node] == nil {
			b.heard[node] = make(map[string]Rules)
		}
		b.heard[node][of] = r
	}
}

func (b *blackboard) all(by []string, of string, want Rules) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, node := range by {
		if b.heard[node][of] != want {
			return false
		}
	}
	return true
}

func TestNewRulesAreToldAtOnce(t *testing.T) {
	board := &blackboard{own: map[string]Rules{}, heard: map[string]map[string]Rules{}}
	story(t, "a b c", func(m *mesh) {
		m.wantUp(5 * time.Second)
		for version := range uint64(5) {
			rules := Rules{Epoch: 1, Version: version + 1, Hash: "0a1b"}
			board.mu.Lock()
			board.own["a"] = rules
			board.mu.Unlock()
			m.nodes["a"].peers.RulesChanged()
			took := m.within(200*time.Millisecond, "b and c hear of a's rules", func() bool { return board.all([]string{"b", "c"}, "a", rules) })
			t.Logf("version %d took %v", version+1, took)
		}
		if !board.all([]string{"a", "c"}, "b", Rules{}) {
			t.Error("b has no rules, and is said to have some")
		}
	}, board.edit)
}
