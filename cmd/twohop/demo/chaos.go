package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// strike says who is killed next.
type strike struct {
	after time.Duration // the last one
	role  string
	index int
}

// plan is a series of strikes; a seed makes always the same one.
type plan struct {
	random *rand.Rand
	made   int
	node   int // the last that was killed
}

func newPlan(seed uint64) *plan {
	return &plan{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // it is to be repeated, not to be secret
}

// turns are the roles, in turn.
var turns = []string{roleNode, moduleTrade, moduleRank}

// next returns the next strike: after one to two seconds, the first one after half of that, the roles in turn. After a node
// come instances that were logged in to it and went elsewhere: those that take their places go to the node that came back.
func (p *plan) next() strike {
	s := strike{after: time.Duration(1000+p.random.IntN(1000)) * time.Millisecond, role: turns[p.made%len(turns)]}
	if s.role == roleNode {
		p.node = p.random.IntN(nodeCount)
		s.index = p.node
	} else {
		s.index = p.random.IntN(perModule)
		for !slices.Contains(seats[numbered(s.role, s.index)], p.node) {
			s.index = (s.index + 1) % perModule
		}
	}
	if p.made == 0 {
		s.after /= 2
	}
	p.made++
	return s
}

// How long who was killed stays away.
const (
	downTime     = 300 * time.Millisecond
	nodeDownTime = 700 * time.Millisecond
)

// chaos kills nodes and instances, one at a time, and starts them again. The next one is killed when the mesh is whole again.
type chaos struct {
	// Static after construction.
	cast *cast
	seed uint64
	ends context.CancelFunc
	done chan struct{}
	from time.Time

	// Guarded by mu.
	mu     sync.Mutex
	kills  map[string]int // by role
	last   string         // that was killed
	lastAt time.Duration  // since from
	back   time.Duration  // how long it was away; 0: it is still
}

// startChaos begins to kill. failed is called when one does not come back.
func startChaos(ctx context.Context, c *cast, seed uint64, failed func(error)) *chaos {
	ctx, cancel := context.WithCancel(ctx)
	x := &chaos{cast: c, seed: seed, ends: cancel, done: make(chan struct{}), from: time.Now(), kills: map[string]int{}}
	go func() {
		defer close(x.done)
		if err := x.run(ctx); err != nil {
			failed(err)
		}
	}()
	return x
}

// stop returns when nothing is killed or started any more.
func (x *chaos) stop() {
	x.ends()
	<-x.done
}

func (x *chaos) run(ctx context.Context) error {
	next := x.from
	for p := newPlan(x.seed); ; {
		s := p.next()
		next = next.Add(s.after)
		if !wait(ctx, time.Until(next)) {
			return nil
		}
		if err := x.strike(ctx, x.cast.parts(s.role)[s.index]); err != nil {
			return err
		}
		if now := time.Now(); now.After(next.Add(time.Second)) {
			next = now // it took long to come back: the next one is not to follow at once
		}
	}
}

// strike kills one, and has it back.
func (x *chaos) strike(ctx context.Context, p *part) error {
	killed := time.Now()
	p.kill(x.cast.family)
	x.mu.Lock()
	x.kills[p.role]++
	x.last, x.lastAt, x.back = p.name, killed.Sub(x.from), 0
	x.mu.Unlock()
	away := downTime
	if p.role == roleNode {
		away = nodeDownTime
	}
	if !wait(ctx, away) {
		return nil
	}
	process, err := p.start(x.cast.family)
	if err != nil {
		return err
	}
	// Also when the demo ends meanwhile: a process that is not ready does not know yet how to end well.
	if _, err := process.waitReady(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	err = x.cast.awaitWhole(ctx)
	if ctx.Err() != nil || x.cast.family.deaths() != nil {
		return nil //nolint:nilerr // the demo ends, and says why
	}
	if err != nil {
		return fmt.Errorf("after %s was killed: %w", p.name, err)
	}
	x.mu.Lock()
	x.back = time.Since(killed)
	x.mu.Unlock()
	return nil
}

// counts returns how many nodes and instances were killed.
func (x *chaos) counts() (nodes, instances int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for role, n := range x.kills {
		if role == roleNode {
			nodes += n
		} else {
			instances += n
		}
	}
	return nodes, instances
}

// words says what chaos did: how often, and the last time.
func (x *chaos) words() (all, last string) {
	nodes, instances := x.counts()
	x.mu.Lock()
	defer x.mu.Unlock()
	all = fmt.Sprintf("chaos: seed %d, killed %s and %s", x.seed, count(nodes, roleNode), count(instances, "instance"))
	switch {
	case x.last == "":
	case x.back == 0:
		last = fmt.Sprintf("%s was killed at %.1f s", x.last, x.lastAt.Seconds())
	default:
		last = fmt.Sprintf("%s was killed at %.1f s, and all was well after %d ms", x.last, x.lastAt.Seconds(), x.back.Milliseconds())
	}
	return all, last
}

// wait returns false if ctx is done before the time is over.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
