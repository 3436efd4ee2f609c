package admin

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/twohop/twohop/governance/rules"
)

// ruleCounts are what a rule has done at one node.
type ruleCounts struct {
	ID       string `json:"id"`
	Refused  uint64 `json:"refused,omitempty"`
	Shadowed uint64 `json:"shadowed,omitempty"`
	Alarmed  uint64 `json:"alarmed,omitempty"`
	Paced    uint64 `json:"paced,omitempty"`
	InFlight *int   `json:"in_flight,omitempty"`
}

// countsQuestion is the body of _node.RulesCounts.
type countsQuestion struct {
	Offset int `json:"offset,omitempty"` // of rules in the order of the document
}

// countsAnswer is a part of what a node's rules have done.
type countsAnswer struct {
	Rules []ruleCounts `json:"rules"`
	Next  int          `json:"next,omitempty"` // the answer was cut: the rest begins at this offset
}

// nodeCounts answers _node.RulesCounts with rows that are not much longer than maxReport.
func (src *Sources) nodeCounts(_ context.Context, body []byte) ([]byte, error) {
	var q countsQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	if src.Rules == nil {
		return nil, errors.New(noRules)
	}
	all := src.Rules.Set().Describe(src.Now())
	a, size := countsAnswer{Rules: []ruleCounts{}}, 0
	for i := min(max(q.Offset, 0), len(all)); i < len(all); i++ {
		r := countsOf(&all[i])
		if size += sizeOf(&r); size > maxReport && len(a.Rules) > 0 {
			a.Next = i
			break
		}
		a.Rules = append(a.Rules, r)
	}
	return json.Marshal(a)
}

func countsOf(r *rules.RuleState) ruleCounts {
	return ruleCounts{r.ID, r.Refused, r.Shadowed, r.Alarmed, r.Paced, r.InFlight}
}

// askCounts reads what the rules of another node have done, part after part. A rule that moves in the document meanwhile counts once.
func (src *Sources) askCounts(ctx context.Context, node string) (map[string]ruleCounts, error) {
	all := make(map[string]ruleCounts)
	for offset := 0; ; {
		part, err := ask[countsAnswer](ctx, src, node, "RulesCounts", countsQuestion{offset})
		if err != nil {
			return nil, err
		}
		for _, r := range part.Rules {
			all[r.ID] = r
		}
		if part.Next <= offset {
			return all, nil
		}
		offset = part.Next
	}
}

// ruleView is a rule with what it has done, at this node or at all.
type ruleView struct {
	rules.RuleState
	Nodes int `json:"nodes,omitempty"` // that have a rule of this id in force, and are in the sums
}

// viewRules returns the rules with what they have done at this node.
func viewRules(states []rules.RuleState) []ruleView {
	views := make([]ruleView, 0, len(states))
	for i := range states {
		views = append(views, ruleView{RuleState: states[i]})
	}
	return views
}

// sumRules adds up what the rules of this node have done at all nodes, and says which were not heard. What a bucket has left and how
// many callers have one are no sums: they are left out.
func (src *Sources) sumRules(ctx context.Context, states []rules.RuleState) (views []ruleView, nodes []heardRow) {
	parts, nodes := collectBy(ctx, src, true, func() map[string]ruleCounts {
		own := make(map[string]ruleCounts, len(states))
		for i := range states {
			own[states[i].ID] = countsOf(&states[i])
		}
		return own
	}, src.askCounts)
	views = viewRules(states)
	for i := range views {
		v := &views[i]
		v.Refused, v.Shadowed, v.Alarmed, v.Paced, v.InFlight = 0, 0, 0, 0, nil
		v.PerSecond, v.Left, v.Callers = nil, nil, nil
		for _, of := range parts {
			r, has := of[v.ID]
			if !has {
				continue
			}
			v.Nodes++
			v.Refused += r.Refused
			v.Shadowed += r.Shadowed
			v.Alarmed += r.Alarmed
			v.Paced += r.Paced
			if r.InFlight != nil {
				sum := *r.InFlight
				if v.InFlight != nil {
					sum += *v.InFlight
				}
				v.InFlight = &sum
			}
		}
	}
	return views, nodes
}
