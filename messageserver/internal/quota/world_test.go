package quota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/governance/quota"
	"github.com/twohop/twohop/governance/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is nodes in one bubble. Only its methods are called from tests.
type world struct {
	t     *testing.T
	start time.Time

	mu      sync.Mutex
	members []string
	late    map[string][]string // what a node takes for the members instead
	side    map[string]int      // nodes of one side reach each other
	mute    map[string]bool
	nodes   map[string]*actor
}

// actor is a node, the calls that it gets, and what it has said.
type actor struct {
	world  *world
	name   string
	leases *Leases
	log    syncBuffer
	stop   func()

	mu     sync.Mutex
	limits []Limit

	demand   atomic.Int64 // calls per ms, of the first limit
	admitted atomic.Int64
	asked    atomic.Int64 // questions
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld starts nodes with one limit of the mesh, "orders", which has the given rate, and a tenth of it as burst.
func newWorld(t *testing.T, perSecond float64, names ...string) *world {
	w := &world{t: t, start: time.Now(), members: names, late: map[string][]string{}, side: map[string]int{}, mute: map[string]bool{}, nodes: map[string]*actor{}}
	for _, name := range names {
		w.add(name, Limit{Key: "orders", PerSecond: perSecond, Burst: perSecond / 10, Bucket: ratelimit.NewBucket(perSecond, perSecond/10)})
	}
	return w
}

func (w *world) now() time.Duration { return time.Since(w.start) + time.Hour }

func (w *world) add(name string, limits ...Limit) *actor {
	a := &actor{world: w, name: name, limits: limits}
	a.leases = New(Options{
		Node: name,
		Members: func() []string {
			w.mu.Lock()
			defer w.mu.Unlock()
			if others := w.late[name]; others != nil {
				return others
			}
			return w.members
		},
		Reached: func() (all []string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, m := range w.members {
				if w.side[m] == w.side[name] {
					all = append(all, m)
				}
			}
			return all
		},
		Ask: func(ctx context.Context, node string, body []byte) ([]byte, error) { return w.ask(ctx, a, node, body) },
		Limits: func() []Limit {
			a.mu.Lock()
			defer a.mu.Unlock()
			return slices.Clone(a.limits)
		},
		Now: w.now, Log: slog.New(slog.NewTextHandler(&a.log, nil)),
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	all.Go(func() { a.leases.Run(ctx) })
	all.Go(func() { a.calls(ctx) })
	a.stop = func() { cancel(); all.Wait() }
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name] = a
	return a
}

// ask takes 2 ms there and back. A node that is mute does not answer, one on another side cannot be asked.
func (w *world) ask(ctx context.Context, from *actor, node string, body []byte) ([]byte, error) {
	from.asked.Add(1)
	time.Sleep(time.Millisecond)
	w.mu.Lock()
	to, cut, mute := w.nodes[node], w.side[node] != w.side[from.name], w.mute[node]
	w.mu.Unlock()
	switch {
	case to == nil || cut:
		return nil, errors.New("the link is not up")
	case mute:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer, err := to.leases.Serve(body)
	time.Sleep(time.Millisecond)
	return answer, err
}

// calls draws from the bucket of the first limit, as often as is demanded.
func (a *actor) calls(ctx context.Context) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		a.mu.Lock()
		var bucket *ratelimit.Bucket
		if len(a.limits) > 0 {
			bucket = a.limits[0].Bucket
		}
		a.mu.Unlock()
		for range a.demand.Load() {
			if ok, _ := bucket.Take(a.world.now()); ok {
				a.admitted.Add(1)
			}
		}
	}
}

// demand sets the calls per second at each node, in the order of the members.
func (w *world) demand(perSecond ...float64) {
	for i, d := range perSecond {
		w.nodes[w.members[i]].demand.Store(int64(d / 1000))
	}
}

// pass lets time pass and returns how many calls passed, and the most that the rates in force were together.
func (w *world) pass(d time.Duration) (calls, most float64) {
	before := w.admitted()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		sum := 0.0
		for _, a := range w.nodes {
			for _, v := range a.leases.View() {
				sum += v.Rate
			}
		}
		most = max(most, sum)
	}
	return w.admitted() - before, most
}

func (w *world) admitted() (sum float64) {
	for _, a := range w.nodes {
		sum += float64(a.admitted.Load())
	}
	return sum
}

// change does something to the world.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// owner returns the owner of the limit "orders", and others the other members.
func (w *world) owner() (owner string, others []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	owner = quota.OwnerOf("orders", w.members)
	for _, m := range w.members {
		if m != owner {
			others = append(others, m)
		}
	}
	return owner, others
}

// lease returns what a node holds of "orders".
func (a *actor) lease() LeaseView {
	for _, v := range a.leases.View() {
		if v.Key == "orders" {
			return v
		}
	}
	return LeaseView{}
}

func (w *world) end() {
	for _, a := range w.nodes {
		a.stop()
	}
}

// about reports whether a number is within a hundredth of another.
func about(got, want float64) bool { return got > want*0.99-0.01 && got < want*1.01+0.01 }

func said(a *actor, what string) int { return strings.Count(a.log.String(), what) }

func (v LeaseView) String() string {
	return fmt.Sprintf("%.1f of %v/s (demand %.0f, owner %s, fallback %v)", v.Rate, v.Limit, v.Demand, v.Owner, v.Fallback)
}
