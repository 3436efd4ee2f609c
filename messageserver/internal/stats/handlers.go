package stats

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Discrepancy compares what nodes have sent to a method's instances with what the instances say, over the last minutes. At one
// node of several it says little, as an instance counts the calls of all nodes: MergeDiscrepancies makes one of all nodes'.
type Discrepancy struct {
	Module string  `json:"module"`
	Method string  `json:"method"`
	Over   float64 `json:"over_s"`
	Nodes  int     `json:"nodes"` // whose calls are in it

	// At the nodes: attempts that were sent, and what explains that they were not run, or not heard of.
	Started  uint64 `json:"started"`
	Expired  uint64 `json:"expired"`   // calls that ended EXPIRED
	Lost     uint64 `json:"lost"`      // calls that ended in TIMEOUT, CONNECTION_LOST or CANCELLED_RUNNING
	InFlight int64  `json:"in_flight"` // calls that are not answered yet

	// Instances are what those that are known say. One that is logged in at two nodes is there once.
	Instances []InstanceGain `json:"instances"`
	// Missing is Started less everything that the instances have run or refused. It is negative where they have more.
	Missing int64    `json:"missing"`
	Reasons []string `json:"reasons,omitempty"`
}

// InstanceGain is what one instance has counted in the last minutes.
type InstanceGain struct {
	Instance string `json:"instance"`
	Started  uint64 `json:"started"`
	Finished uint64 `json:"finished"`
	Refused  uint64 `json:"refused"`
	New      bool   `json:"new,omitempty"` // first heard of in this time: all that it says is counted
}

const handlerMinutes = 5 // that are compared

// handlerBook is what was counted in the last minutes at the node, and by instances. Guarded by Books.mu.
type handlerBook struct {
	minutes []handlerMinute // the oldest is only where the others begin
}

type handlerMinute struct {
	ended   time.Duration
	methods map[[2]string]sent
	said    map[handlerKey]HandlerCounts
}

type handlerKey struct{ module, method, instance string }

type sent struct{ started, expired, lost uint64 }

func (h *handlerBook) add(now time.Duration, said []HandlerCounts, methods map[[2]string]*tally) {
	m := handlerMinute{now, make(map[[2]string]sent, len(methods)), make(map[handlerKey]HandlerCounts, len(said))}
	for key, t := range methods {
		m.methods[key] = sent{
			t.started, t.codes.of(wire.Expired),
			t.codes.of(wire.Timeout) + t.codes.of(wire.ConnectionLost) + t.codes.of(wire.CancelledRunning),
		}
	}
	for _, c := range said {
		m.said[handlerKey{c.Module, c.Method, c.Instance}] = c
	}
	h.minutes = append(h.minutes, m)
	if over := len(h.minutes) - handlerMinutes - 1; over > 0 {
		h.minutes = slices.Delete(h.minutes, 0, over)
	}
}

// Discrepancies compares the last five full minutes, or as many as there were, of every method that an instance here has said
// something of. Those without a difference are there, too: Missing is 0.
func (b *Books) Discrepancies() []Discrepancy {
	now := b.opts.Now()
	b.lock(now)
	defer b.mu.Unlock()
	minutes := b.handlers.minutes
	if len(minutes) < 2 {
		return nil
	}
	first, last := minutes[0], minutes[len(minutes)-1]
	found := make(map[[2]string]*Discrepancy)
	for key, c := range last.said {
		method := [2]string{key.module, key.method}
		d := found[method]
		if d == nil {
			d = &Discrepancy{Module: key.module, Method: key.method, Over: (last.ended - first.ended).Seconds(), Nodes: 1}
			found[method] = d
		}
		before, known := first.said[key]
		if !known || before.Started > c.Started || before.Finished > c.Finished || before.Refused > c.Refused {
			before, known = HandlerCounts{}, false // it has started since then
		}
		d.Instances = append(d.Instances, InstanceGain{
			key.instance, c.Started - before.Started, c.Finished - before.Finished, c.Refused - before.Refused, !known,
		})
	}
	for _, m := range minutes[1:] {
		for method, s := range m.methods {
			d := found[method]
			if d == nil && s.started == 0 {
				continue
			}
			if d == nil {
				d = &Discrepancy{Module: method[0], Method: method[1], Over: (last.ended - first.ended).Seconds(), Nodes: 1}
				found[method] = d
			}
			d.Started, d.Expired, d.Lost = d.Started+s.started, d.Expired+s.expired, d.Lost+s.lost
		}
	}
	for _, s := range b.list {
		if d := found[[2]string{s.name.module, s.name.method}]; d != nil {
			d.InFlight += s.inFlight()
		}
	}
	all := make([]Discrepancy, 0, len(found))
	for _, d := range found {
		all = append(all, *d)
	}
	return explain(all)
}

// MergeDiscrepancies makes one list of several nodes'.
func MergeDiscrepancies(nodes ...[]Discrepancy) []Discrepancy {
	found := make(map[[2]string]*Discrepancy)
	for _, list := range nodes {
		for _, d := range list {
			key := [2]string{d.Module, d.Method}
			sum := found[key]
			if sum == nil {
				sum = &Discrepancy{Module: d.Module, Method: d.Method}
				found[key] = sum
			}
			sum.Nodes += d.Nodes
			sum.Over = max(sum.Over, d.Over)
			sum.Started, sum.Expired, sum.Lost = sum.Started+d.Started, sum.Expired+d.Expired, sum.Lost+d.Lost
			sum.InFlight += d.InFlight
			for _, i := range d.Instances {
				at := slices.IndexFunc(sum.Instances, func(has InstanceGain) bool { return has.Instance == i.Instance })
				if at < 0 {
					sum.Instances = append(sum.Instances, i)
				} else if has := &sum.Instances[at]; has.New && !i.New || has.New == i.New && i.Started > has.Started {
					*has = i // of two nodes, the one that has known it longer
				}
			}
		}
	}
	all := make([]Discrepancy, 0, len(found))
	for _, d := range found {
		all = append(all, *d)
	}
	return explain(all)
}

// explain sorts a list and says why there are differences.
func explain(all []Discrepancy) []Discrepancy {
	for i := range all {
		d := &all[i]
		var run uint64
		fresh := 0
		for _, instance := range d.Instances {
			run += instance.Started + instance.Refused
			if instance.New {
				fresh++
			}
		}
		slices.SortFunc(d.Instances, func(a, b InstanceGain) int { return strings.Compare(a.Instance, b.Instance) })
		d.Missing = int64(d.Started - run)
		d.Reasons = nil
		say := func(text string, args ...any) { d.Reasons = append(d.Reasons, fmt.Sprintf(text, args...)) }
		switch {
		case d.Missing > 0:
			if len(d.Instances) == 0 {
				say("no instance of it has said what it has run")
			}
			if d.Lost > 0 {
				say("%d calls ended unheard of: their connection was lost, or they took too long", d.Lost)
			}
			if d.Expired > 0 {
				say("%d calls expired; in a node's queue no instance has seen them", d.Expired)
			}
			if d.InFlight > 0 {
				say("%d calls are in flight, and may wait to be run", d.InFlight)
			}
			say("what an instance had counted is not known once it is gone, and it says its numbers a little later; nobody hears of a " +
				"one-way call that was lost")
		case d.Missing < 0:
			if fresh > 0 {
				say("%d instances were first heard of in this time, with calls of before", fresh)
			}
			say("instances count the calls of all nodes, and here are those of %d", d.Nodes)
		}
	}
	slices.SortFunc(all, func(a, b Discrepancy) int {
		return cmp.Or(strings.Compare(a.Module, b.Module), strings.Compare(a.Method, b.Method))
	})
	return all
}
