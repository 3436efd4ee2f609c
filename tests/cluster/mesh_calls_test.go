package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// ledger has every call of a story that has a name, which its body begins with: how often a handler began, and how it ended.
type ledger struct {
	mu     sync.Mutex
	last   int
	starts map[string][]string // where handlers began, by call
	ends   map[string]error    // of the calls that have ended
}

func newLedger() *ledger {
	return &ledger{starts: map[string][]string{}, ends: map[string]error{}}
}

// named returns the body of a new call, of at least so many bytes.
func (l *ledger) named(who string, size int) (name string, body []byte) {
	l.mu.Lock()
	l.last++
	name = fmt.Sprintf("call %d of %s", l.last, who)
	l.mu.Unlock()
	body = append([]byte(name), '|')
	if extra := size - len(body); extra > 0 {
		body = append(body, bytes.Repeat([]byte{'x'}, extra)...)
	}
	return name, body
}

// start notes that a handler has begun.
func (l *ledger) start(body []byte, instance string) {
	name, _, named := bytes.Cut(body, []byte{'|'})
	if !named {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts[string(name)] = append(l.starts[string(name)], instance)
}

func (l *ledger) end(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[name] = err
}

// wantHonest looks at every call of the story that has ended, when everything is over: what succeeded ran once, what says
// NOT_EXECUTED did not run, and nothing ran twice.
func (m *mesh) wantHonest() {
	m.t.Helper()
	l := m.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	lies := 0
	for name, err := range l.ends {
		most, least := 1, 0
		switch {
		case err == nil:
			least = 1
		case errors.Is(err, rpcclient.ErrNotExecuted):
			most = 0
		}
		if n := len(l.starts[name]); n > most || n < least {
			if lies++; lies <= 10 {
				m.t.Errorf("%s ended with %v and was started %d times: %v", name, err, n, l.starts[name])
			}
		}
	}
	if lies > 10 {
		m.t.Errorf("%d calls lied", lies)
	}
}

// tally counts how calls ended.
type tally struct {
	t     *testing.T
	total int
	ok    int
	codes map[rpcclient.Code]int
	class map[rpcclient.Class]int
	some  map[rpcclient.Code]error // one of each
}

func newTally(t *testing.T) *tally {
	return &tally{t: t, codes: map[rpcclient.Code]int{}, class: map[rpcclient.Class]int{}, some: map[rpcclient.Code]error{}}
}

func (y *tally) add(err error) {
	y.total++
	if err == nil {
		y.ok++
		return
	}
	e := rpcclient.AsError(err)
	if e == nil {
		y.t.Errorf("a call ended with %v, which is no *Error", err)
		return
	}
	y.codes[e.Code]++
	y.class[e.Class]++
	y.some[e.Code] = err
}

func (y *tally) String() string {
	text := fmt.Sprintf("%d calls, %d ok", y.total, y.ok)
	for _, code := range slices.Sorted(maps.Keys(y.codes)) {
		text += fmt.Sprintf(", %d %v (%v)", y.codes[code], code, y.some[code])
	}
	return text
}

// wantAll fails unless every call was answered.
func (y *tally) wantAll() {
	y.t.Helper()
	if y.ok != y.total {
		y.t.Errorf("%v: want all to succeed", y)
	}
}

// crowd is many calls that are under way at once.
type crowd struct {
	m     *mesh
	calls []*inFlight
}

type inFlight struct {
	name    string
	body    []byte
	answer  []byte
	pending *rpcclient.Pending
}

// long is the time of calls that a fault ends, and not their deadline.
const long = 2 * time.Minute

// crowd starts calls and returns. Their bodies have at least size bytes.
func (a *caller) crowd(n int, method string, size int, opts ...rpcclient.CallOption) *crowd {
	c := &crowd{m: a.m}
	for range n {
		call := &inFlight{}
		call.name, call.body = a.m.ledger.named(a.name, size)
		call.pending = a.via.Go(context.Background(), method, call.body, &call.answer, append([]rpcclient.CallOption{rpcclient.Timeout(long)}, opts...)...)
		c.calls = append(c.calls, call)
	}
	return c
}

// wantEnds waits until all calls have ended, in the time given, with slack, and says how.
func (c *crowd) wantEnds(d time.Duration) *tally {
	c.m.t.Helper()
	y := newTally(c.m.t)
	over := time.After(slack * d)
	for i, call := range c.calls {
		select {
		case <-call.pending.Done():
		case <-over:
			c.m.t.Fatalf("after %v %d of %d calls have not ended; so far: %v", slack*d, len(c.calls)-i, len(c.calls), y)
		}
		err := call.pending.Wait()
		if err == nil && !bytes.Equal(call.answer, call.body) {
			c.m.t.Errorf("%s was answered %.40q", call.name, call.answer)
		}
		c.m.ledger.end(call.name, err)
		y.add(err)
	}
	return y
}

// gate holds handlers until it opens.
type gate struct {
	open chan struct{}
	once sync.Once
}

// gate is open at the end of the story at the latest.
func (m *mesh) gate() *gate {
	g := &gate{open: make(chan struct{})}
	m.ends = append(m.ends, g.opens)
	return g
}

func (g *gate) opens() { g.once.Do(func() { close(g.open) }) }

// echo is a handler that answers with what it got, when the gate opens or its call is cancelled.
func (g *gate) echo(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
	select {
	case <-g.open:
		return echo(ctx, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// slowly is a handler that takes its time.
func slowly(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
	<-time.After(80 * time.Millisecond)
	return echo(ctx, r)
}

// wantRunning waits until so many handlers of a module run. A fault that fewer calls meet proves nothing.
func (m *mesh) wantRunning(n int64, modules ...*module) {
	m.t.Helper()
	running := func() (n int64) {
		for _, s := range modules {
			n += s.started.Load() - s.finished.Load()
		}
		return n
	}
	m.withinSaying(5*time.Second, func() string { return fmt.Sprintf("VOID: %d calls run, want %d", running(), n) },
		func() bool { return running() >= n })
}

// stream is calls that go on until the story ends them.
type stream struct {
	caller  *caller
	method  string
	size    int
	pause   time.Duration // between two calls: it leaves the machine to the others
	opts    []rpcclient.CallOption
	stop    chan struct{}
	workers sync.WaitGroup
	done    atomic.Int64
	busy    atomic.Int64 // calls under way

	mu    sync.Mutex
	tally *tally
}

// stream begins calls, so many of them at a time.
func (a *caller) stream(wide int, method string, size int, opts ...rpcclient.CallOption) *stream {
	return a.streamEvery(10*time.Millisecond, wide, method, size, opts...)
}

// streamEvery is stream with a pause after each call.
func (a *caller) streamEvery(pause time.Duration, wide int, method string, size int, opts ...rpcclient.CallOption) *stream {
	s := &stream{caller: a, method: method, size: size, pause: pause, opts: opts, stop: make(chan struct{}), tally: newTally(a.m.t)}
	for range wide {
		s.workers.Go(s.work)
	}
	a.m.ends = append(a.m.ends, func() { s.ends() })
	return s
}

func (s *stream) work() {
	m := s.caller.m
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(s.pause):
		}
		name, body := m.ledger.named(s.caller.name, s.size)
		s.busy.Add(1)
		answer, err := s.caller.via.CallRaw(m.ctx, s.method, body, s.opts...)
		s.busy.Add(-1)
		if err == nil && !bytes.Equal(answer, body) {
			m.t.Errorf("%s was answered %.40q", name, answer)
		}
		m.ledger.end(name, err)
		s.mu.Lock()
		s.tally.add(err)
		s.mu.Unlock()
		s.done.Add(1)
	}
}

// wantFlow waits until so many more calls have ended.
func (s *stream) wantFlow(more int64) {
	s.caller.m.t.Helper()
	s.caller.m.wantFlow(more, s)
}

// wantFlow waits until so many more calls of every stream have ended.
func (m *mesh) wantFlow(more int64, streams ...*stream) {
	m.t.Helper()
	goals := make([]int64, len(streams))
	for i, s := range streams {
		goals[i] = s.done.Load() + more
	}
	for i, s := range streams {
		m.withinSaying(healed, func() string {
			return fmt.Sprintf("%s calls %s: %d to go", s.caller.name, s.method, goals[i]-s.done.Load())
		},
			func() bool { return s.done.Load() >= goals[i] })
	}
}

// wantWide waits until so many calls are under way.
func (s *stream) wantWide(n int64) {
	s.caller.m.t.Helper()
	s.caller.m.withinSaying(healed, func() string {
		return fmt.Sprintf("VOID: %d calls of %s are under way, want %d", s.busy.Load(), s.method, n)
	},
		func() bool { return s.busy.Load() >= n })
}

// ends stops the stream and says how its calls ended.
func (s *stream) ends() *tally {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.workers.Wait()
	return s.tally
}

// wantUnharmed stops the stream, and fails unless all its calls succeeded. Nodes refuse what waits for a second, and on a machine
// that is very busy a few calls do: that is not the fault's doing.
func (s *stream) wantUnharmed() {
	t := s.caller.m.t
	t.Helper()
	y := s.ends()
	if y.total < 100 {
		t.Errorf("VOID: %s made %d calls of %s, want 100 or more", s.caller.name, y.total, s.method)
	}
	if refused := y.codes[rpcclient.CodeOverloaded]; refused > 0 && refused == y.total-y.ok && refused <= y.total/50 {
		t.Logf("%s calls %s: the machine is too busy: %v", s.caller.name, s.method, y)
	} else if y.ok != y.total {
		t.Errorf("%s calls %s: %v: want all to succeed", s.caller.name, s.method, y)
	}
}

// wantPath makes a call and wants it to cross the given nodes and no others.
func (a *caller) wantPath(method string, nodes ...string) {
	a.m.t.Helper()
	var r rpcclient.Receipt
	name, body := a.m.ledger.named(a.name, 0)
	answer, err := a.via.CallRaw(a.m.ctx, method, body, rpcclient.WantReceipt(&r))
	a.m.ledger.end(name, err)
	var crossed []string
	for _, hop := range r.Hops {
		crossed = append(crossed, hop.Node)
	}
	slices.Sort(crossed)
	slices.Sort(nodes)
	if err != nil || !bytes.Equal(answer, body) || !slices.Equal(crossed, nodes) {
		a.m.t.Errorf("%s calls %s: %v, over %v, want %s", a.name, method, err, crossed, strings.Join(nodes, " and "))
	}
}
