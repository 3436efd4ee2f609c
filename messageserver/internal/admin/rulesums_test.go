package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/governance/rules"
)

// sumsView is what GET /v1/rules?scope=mesh says of rules.
type sumsView struct {
	Rules []struct {
		rules.RuleState
		Nodes int
	}
	Summed []heardRow
}

func (v *sumsView) line() string {
	var all []string
	for _, r := range v.Rules {
		all = append(all, fmt.Sprintf("%s=%d/%d/%d/%d@%d", r.ID, r.Refused, r.Shadowed, r.Alarmed, r.Paced, r.Nodes))
	}
	return strings.Join(all, " ")
}

// did says what a rule has done at a node.
func (g *governed) did(id string, refused, shadowed, alarmed, paced uint64) {
	tally := g.rules.Set().Tally(id)
	tally.Refused.Add(refused)
	tally.Shadowed.Add(shadowed)
	tally.Alarmed.Add(alarmed)
	tally.Paced.Add(paced)
}

func TestWhatRulesDidIsSummedOverAllNodes(t *testing.T) {
	w := govern(t, "a", "b", "c")
	a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
	a.putRules("*", "format: 1\nrules:\n  - {id: try, module: pay, shadow: true, rate: {per_second: 100, per: node}}\n  - {id: flight, module: pay, concurrency: {max: 9}}\n")
	a.governed.did("try", 0, 2, 0, 0)
	b.governed.did("try", 0, 30, 5, 7)
	c.governed.did("try", 0, 400, 0, 0)
	c.governed.did("flight", 6, 0, 0, 0)

	var own, all sumsView
	a.wantJSON("/v1/rules", http.StatusOK, &own)
	if own.line() != "try=0/2/0/0@0 flight=0/0/0/0@0" || own.Summed != nil || own.Rules[0].Left == nil || own.Rules[1].InFlight == nil {
		t.Errorf("of a: %s, %+v", own.line(), own)
	}
	a.wantJSON("/v1/rules?scope=mesh", http.StatusOK, &all)
	if all.line() != "try=0/432/5/7@3 flight=6/0/0/0@3" || len(all.Summed) != 3 || !all.Rules[0].Shadow || all.Rules[0].Left != nil || all.Rules[0].PerSecond != nil ||
		all.Rules[1].InFlight == nil {
		t.Errorf("of all: %s, %+v", all.line(), all)
	}
	w.cut("a", "c", "waiting", "gone")
	var without sumsView
	a.wantJSON("/v1/rules?scope=mesh", http.StatusOK, &without)
	if without.line() != "try=0/32/5/7@2 flight=0/0/0/0@2" || without.Summed[2].Node != "c" || without.Summed[2].Error == "" {
		t.Errorf("without c: %s, %+v", without.line(), without.Summed)
	}
}

// TestTheRulesOfANodeComeInParts: an answer between nodes stays below its bound, and nothing is lost.
func TestTheRulesOfANodeComeInParts(t *testing.T) {
	w := govern(t, "a", "b")
	var text strings.Builder
	text.WriteString("format: 1\nrules:\n")
	const many = 20_000
	last := fmt.Sprintf("r%d-%s", many-1, strings.Repeat("x", 110))
	for i := range many {
		_, _ = fmt.Fprintf(&text, "  - {id: r%d-%s, module: m%d, timeout: {max: 5s}}\n", i, strings.Repeat("x", 110), i)
	}
	if got := w.nodes["a"].putRules("*", text.String()); got.Status != http.StatusOK {
		t.Fatalf("got %d %s", got.Status, got.Error)
	}
	b := w.nodes["b"]
	set := b.governed.rules.Set()
	for _, r := range set.Describe(b.governed.now()) {
		b.governed.did(r.ID, 1e18, 1e18, 1e18, 1e18)
	}
	src := b.sources()
	body, err := src.nodeCounts(t.Context(), nil)
	var part countsAnswer
	if err != nil || json.Unmarshal(body, &part) != nil || part.Next == 0 || len(body) > maxReport+maxReport/4 {
		t.Fatalf("the first part has %d bytes, %d rules, next %d, %v", len(body), len(part.Rules), part.Next, err)
	}
	asks := w.nodes["a"].sources()
	all, err := asks.askCounts(t.Context(), "b")
	if err != nil || len(all) != many || all[last].Refused != 1e18 {
		t.Errorf("%d rules, %v", len(all), err)
	}
}
