package demo

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// strike says which instance is killed next.
type strike struct {
	after  time.Duration // the last one
	module string
	index  int
}

// plan is a series of strikes; a seed makes always the same one.
type plan struct {
	random *rand.Rand
	made   int
}

func newPlan(seed uint64) *plan {
	return &plan{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // it is to be repeated, not to be secret
}

// next returns the next strike: after one to two seconds, the first one after half of that, the modules in turn.
func (p *plan) next() strike {
	s := strike{
		after: time.Duration(1000+p.random.IntN(1000)) * time.Millisecond, module: moduleTrade, index: p.random.IntN(perModule),
	}
	if p.made == 0 {
		s.after /= 2
	}
	if p.made%2 == 1 {
		s.module = moduleRank
	}
	p.made++
	return s
}

// downTime is how long a killed instance stays away.
const downTime = 300 * time.Millisecond

// chaos kills instances and starts them again.
type chaos struct {
	// Static after construction.
	cast *cast
	seed uint64
	ends context.CancelFunc
	done chan struct{}
	from time.Time

	// Guarded by mu.
	mu     sync.Mutex
	kills  int
	last   string        // that was killed
	lastAt time.Duration // since from
	back   time.Duration // how long it was away; 0: it is still
}

// startChaos begins to kill. failed is called when an instance does not come back.
func startChaos(ctx context.Context, c *cast, seed uint64, failed func(error)) *chaos {
	ctx, cancel := context.WithCancel(ctx)
	x := &chaos{cast: c, seed: seed, ends: cancel, done: make(chan struct{}), from: time.Now()}
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
		if err := x.strike(ctx, x.cast.find(s)); err != nil {
			return err
		}
		if now := time.Now(); now.After(next.Add(time.Second)) {
			next = now // it took long to come back: the next one is not to follow at once
		}
	}
}

// find returns the instance that a strike means.
func (c *cast) find(s strike) *instance {
	n := s.index
	for _, i := range c.instances {
		if i.module != s.module {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return nil
}

// strike kills an instance and has it back.
func (x *chaos) strike(ctx context.Context, i *instance) error {
	i.mu.Lock()
	i.down = true
	p := i.process
	i.mu.Unlock()
	killed := time.Now()
	x.cast.family.kill(p)
	x.mu.Lock()
	x.kills++
	x.last, x.lastAt, x.back = i.name, killed.Sub(x.from), 0
	x.mu.Unlock()
	if !wait(ctx, downTime) {
		return nil
	}
	if err := x.cast.startInstance(i); err != nil {
		return err
	}
	// Also when the demo ends meanwhile: a process that is not ready does not know yet how to end well.
	if _, err := i.current().waitReady(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	x.mu.Lock()
	x.back = time.Since(killed)
	x.mu.Unlock()
	return nil
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
