package admin

import (
	"context"
	"math"
	"time"

	"github.com/twohop/twohop/governance"
)

const (
	enforceWait = time.Second          // for which all nodes are asked to wait after a change
	look        = 5 * time.Millisecond // how often a node that waits looks: sessions ring no bell when they acknowledge
)

// standingQuestion is the body of _node.RulesStanding. The zero one asks how things are.
type standingQuestion struct {
	Mark   governance.Mark `json:"mark,omitzero"`
	WaitMS int64           `json:"wait_ms,omitempty"` // how long to wait until this mark is in force and enforced; at most 1000
	Module string          `json:"module,omitempty"`  // whose server sessions count; empty: of all modules
}

// standingAnswer says which document is in force at a node, and how far its servers are.
type standingAnswer struct {
	Node   string          `json:"node"`
	Mark   governance.Mark `json:"mark"`
	Hash   string          `json:"hash"`
	Since  time.Time       `json:"since,omitzero"`
	Source string          `json:"source,omitempty"`
	Rules  int             `json:"rules"`

	Servers   int `json:"servers"`   // server sessions
	Enforcing int `json:"enforcing"` // those that have said that they enforce the mark that was asked for

	// How long before this answer the mark was seen in force, and enforced by all servers; nil: it is not. It is counted from the
	// question on, at most.
	HeldMS     *float64 `json:"held_ms,omitempty"`
	EnforcedMS *float64 `json:"enforced_ms,omitempty"`
}

// ownStanding answers when the mark, or a newer one, is in force and enforced, or the wait is over.
func (src *Sources) ownStanding(ctx context.Context, q standingQuestion) standingAnswer {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, min(max(time.Duration(q.WaitMS)*time.Millisecond, 0), enforceWait))
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var held, enforced time.Duration // since the question
	for seen, done := false, false; ; {
		a := src.standing(q)
		if now := time.Since(asked); !a.Mark.Less(q.Mark) {
			if !seen {
				seen, held = true, now
			}
			if a.Enforcing == a.Servers {
				done, enforced = true, now
			}
		}
		if !done {
			select {
			case <-ticker.C:
				continue
			case <-ctx.Done():
			}
		}
		now := time.Since(asked)
		if seen {
			a.HeldMS = milliseconds(now - held)
		}
		if done {
			a.EnforcedMS = milliseconds(now - enforced)
		}
		return a
	}
}

func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// standing looks once.
func (src *Sources) standing(q standingQuestion) standingAnswer {
	a := standingAnswer{Node: src.Node}
	if src.Rules == nil {
		return a
	}
	own := src.Rules.Standing()
	a.Mark, a.Hash, a.Since, a.Source, a.Rules = own.Mark, own.Hash, own.Since, own.Source, own.Rules
	mark := q.Mark
	if mark == (governance.Mark{}) {
		mark = own.Mark
	}
	if src.Enforcing != nil {
		a.Servers, a.Enforcing = src.Enforcing(q.Module, mark)
	}
	return a
}

// standingRow is a node in the answer to an operator.
type standingRow struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"` // why it was not heard
	*standing
}

type standing struct {
	Mark      governance.Mark `json:"mark"`
	Hash      string          `json:"hash"`
	Since     time.Time       `json:"since,omitzero"`
	Source    string          `json:"source,omitempty"`
	Rules     int             `json:"rules"`
	Servers   int             `json:"servers"`
	Enforcing int             `json:"enforcing"`

	// After a change, from its beginning at this node to the moment of which the other one told, with the way of its answer: what is
	// true is a little less.
	InForceMS *float64 `json:"in_force_ms,omitempty"`
	SDKMS     *float64 `json:"sdk_ms,omitempty"`
}

// standings asks all nodes, and reports whether all of them have the document with this hash, enforced by all their servers. began
// is when the change began, after which a newer document is as good; the zero Time asks how things are, without waiting.
func (src *Sources) standings(ctx context.Context, q standingQuestion, hash string, began time.Time) (rows []standingRow, converged bool) {
	type timed struct {
		standingAnswer
		at time.Time
	}
	all := gather(ctx, src, func() timed { return timed{src.ownStanding(ctx, q), time.Now()} },
		func(ctx context.Context, node string) (timed, error) {
			a, err := ask[standingAnswer](ctx, src, node, "RulesStanding", q)
			return timed{a, time.Now()}, err
		})
	converged = true
	for i := range all {
		row := standingRow{Node: all[i].node, Error: reason(all[i].err)}
		if said := all[i].said; all[i].err == nil {
			row.standing = &standing{
				Mark: said.Mark, Hash: said.Hash, Since: said.Since, Source: said.Source, Rules: said.Rules, Servers: said.Servers, Enforcing: said.Enforcing,
			}
			if !began.IsZero() {
				took := float64(said.at.Sub(began).Microseconds()) / 1000
				row.InForceMS = before(took, said.HeldMS)
				if said.Servers > 0 {
					row.SDKMS = before(took, said.EnforcedMS)
				}
			}
			newer := !began.IsZero() && q.Mark.Less(said.Mark) // somebody has changed the rules again
			converged = converged && (newer || said.Mark == q.Mark && said.Hash == hash) && said.Enforcing == said.Servers
		}
		converged = converged && row.Error == ""
		rows = append(rows, row)
	}
	return rows, converged
}

// before returns when something was that was for ms before the answer came, which took so long.
func before(took float64, ms *float64) *float64 {
	if ms == nil {
		return nil
	}
	at := max(math.Round((took-*ms)*1000)/1000, 0)
	return &at
}
