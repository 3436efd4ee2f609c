package quota

import (
	"cmp"
	"slices"
)

// LeaseView is what this node holds of one limit, for operators.
type LeaseView struct {
	Key      string  `json:"key"`
	Owner    string  `json:"owner"`
	Limit    float64 `json:"limit"`    // calls per second, over the mesh
	Rate     float64 `json:"rate"`     // of them, here
	Demand   float64 `json:"demand"`   // asked for here
	Fallback bool    `json:"fallback"` // there is no word of the owner
}

// View returns what this node holds, by key.
func (l *Leases) View() []LeaseView {
	l.mu.Lock()
	defer l.mu.Unlock()
	view := make([]LeaseView, 0, len(l.held))
	for key, h := range l.held {
		view = append(view, LeaseView{
			Key: key, Owner: h.owner, Limit: h.limit.PerSecond,
			Rate: h.rate, Demand: h.holder.Demand(), Fallback: h.fallback,
		})
	}
	slices.SortFunc(view, func(a, b LeaseView) int { return cmp.Compare(a.Key, b.Key) })
	return view
}
