package router

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/retry"
	"github.com/twohop/twohop/proto/wire"
)

// Options configure a Router. The zero value is the default.
type Options struct {
	Node           string        // this node's name
	DefaultTimeout time.Duration // of calls that bring no budget to a method whose contract names none; default 10 s
	MaxInFlight    int           // calls at once; default 200,000
	MaxKept        int64         // bytes of requests kept for another attempt; default 256 MiB
	Retry          retry.Options

	// Governor has the rules that calls are admitted by. Default: none.
	Governor governance.Governor
	// Meters count calls. Default: nothing is counted but Counters.
	Meters governance.Meters
	// Refusals keeps what rules refuse. Default: nothing is kept.
	Refusals governance.Refusals

	// Changed is called when Changes has something, from any goroutine and without a lock held. It must not block.
	Changed func()
	// Try chooses, of all nodes, those that a caller may try whose call fits instances of the owners only, to none of which this
	// node is connected. It must not block.
	Try func(owners []string) []string
	// Unheard names the nodes that this one has not heard of since it started: who is logged in there it cannot say. It must
	// not block.
	Unheard func() []string
}

func (o Options) withDefaults() Options {
	if o.Try == nil {
		o.Try = func([]string) []string { return nil }
	}
	if o.Governor == nil {
		o.Governor = governance.NoRules{}
	}
	if o.Meters == nil {
		o.Meters = unmetered{}
	}
	if o.Refusals == nil {
		o.Refusals = unnoted{}
	}
	if o.Unheard == nil {
		o.Unheard = func() []string { return nil }
	}
	if o.DefaultTimeout == 0 {
		o.DefaultTimeout = 10 * time.Second
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 200_000
	}
	if o.MaxKept == 0 {
		o.MaxKept = 256 << 20
	}
	return o
}

// Router carries calls. Safe for concurrent use.
type Router struct {
	// Static after construction.
	opts  Options
	retry *retry.Policy
	now   func() time.Duration

	calls    sync.Pool // of *Call; their timers belong to this router's wheel
	table    atomic.Pointer[table]
	stamps   stampClock
	wheel    wheel
	inFlight atomic.Int64
	kept     atomic.Int64
	counters Counters

	directory *directory
	local     Local

	// Guarded by mu.
	mu      sync.Mutex
	callers map[string]*Caller
}

// Counters say what a router has done. Every call submitted is in exactly one of the four classes once it is settled.
type Counters struct {
	Submitted     atomic.Uint64
	Settled       [4]atomic.Uint64                // by wire.Class
	Codes         [wire.MaxCode + 1]atomic.Uint64 // by code
	OneWay        atomic.Uint64                   // one-way calls handed to a target
	OneWayRefused [wire.MaxCode + 1]atomic.Uint64 // one-way calls dropped, by code
	OneHop        atomic.Uint64                   // attempts that went to a session of this node
	TwoHop        atomic.Uint64                   // attempts that went over a link
	Reroutes      atomic.Uint64
	Retries       atomic.Uint64
	RetriesDenied atomic.Uint64 // because the retry budget of the caller at the module was used up
	Stale         atomic.Uint64 // ends that came after another one
	StaleRoutes   atomic.Uint64 // attempts at other nodes that did not have the session any more
	NoRoutes      atomic.Uint64 // calls whose instances are all at nodes that are not connected
	Registrations atomic.Uint64
	Replaced      atomic.Uint64 // sessions of this node that have lost their name
	HoldDowns     atomic.Uint64 // names that processes took from each other too often

	Transit Transit
	Asked   Passed // questions of this node to others
}

// Passed says what became of calls of one kind. Every one is in one of the four classes once it is settled.
type Passed struct {
	Submitted atomic.Uint64
	Settled   [4]atomic.Uint64 // by wire.Class
}

// Transit counts the calls that came from other nodes, for sessions of this one.
type Transit struct {
	Passed
	StaleRoutes   atomic.Uint64                   // of those refused: the session is gone, or another's
	OneWay        atomic.Uint64                   // one-way calls handed to a session
	OneWayRefused [wire.MaxCode + 1]atomic.Uint64 // one-way calls dropped, by code
}

// New returns a router whose clock is now.
func New(opts Options, now func() time.Duration) *Router {
	r := &Router{opts: opts.withDefaults(), now: now, callers: make(map[string]*Caller), directory: newDirectory(opts.Node)}
	r.retry = retry.New(r.opts.Retry)
	r.calls.New = newCall
	r.table.Store(&table{modules: map[string]*module{}})
	r.local = Local{
		node: r.opts.Node, most: int64(r.opts.MaxInFlight), others: &r.inFlight, now: now, calls: &r.calls, wheel: &r.wheel,
		counters: &r.counters.Transit, stale: &r.counters.Stale,
	}
	return r
}

// Counters returns the counters, which go on counting.
func (r *Router) Counters() *Counters { return &r.counters }

// Local returns what a frame from another node may reach.
func (r *Router) Local() *Local { return &r.local }

// InFlight returns how many calls of this node's modules, and questions of the node itself, are submitted and not settled, and
// how many bytes of requests are kept for them.
func (r *Router) InFlight() (calls, keptBytes int64) { return r.inFlight.Load(), r.kept.Load() }

// Call returns an empty call to fill and Submit, or to give back with Drop.
func (r *Router) Call() *Call { return r.calls.Get().(*Call) }

// Drop gives back a call that was not submitted.
func (r *Router) Drop(c *Call) {
	c.reset()
	r.calls.Put(c)
}

// Tick fires what is due. It returns when it wants to be called next; until something is armed that is far away.
func (r *Router) Tick(now time.Duration) (next time.Duration) {
	b := Batch{Now: now}
	armed := r.wheel.advance(now, func(c *Call, life uint64) { r.due(&b, c, life) })
	b.Flush()
	next = r.tend(now)
	if armed {
		next = now + wheelTick
	}
	return next
}

// Submit takes over a call that Keep has taken. receivedAt is Unix time in µs, for audit only.
func (r *Router) Submit(b *Batch, c *Call, receivedAt uint64) {
	r.counters.Submitted.Add(1)
	c.mu.Lock()
	c.phase = routing
	c.mu.Unlock()
	c.account = r.account(b.Now, c.Caller, &c.Request)
	verdict := r.admit(b, c)
	if r.inFlight.Add(1)+r.local.inFlight.Load() > int64(r.opts.MaxInFlight) {
		r.refuse(b, c, wire.Overloaded, "the node has too many calls in flight")
		return
	}
	if !verdict.Admitted() {
		r.refuseByRule(b, c, &verdict)
		return
	}
	r.keep(c)
	c.stamp(receivedAt)
	meth, code, why := r.lookup(&c.Request)
	if code != wire.OK {
		c.deadline = c.Arrived + max(c.Budget, time.Millisecond)
		r.refuseAll(b, c, code, why)
		return
	}
	c.method = meth
	c.runLate = c.mayRunLate()
	c.deadline = c.Arrived + r.budget(c)
	if c.Request.Options&wire.Idempotent != 0 && !meth.contract.Idempotent {
		r.refuse(b, c, wire.BadOption, "idempotent is set, and the contract of the method does not say so")
		return
	}
	r.retry.Deposit(c.account.budget)
	if verdict.Wait > 0 {
		r.pace(b, c, &verdict)
		return
	}
	r.wheel.arm(&c.timer, c.life, c.deadline)
	r.attempt(b, c, wire.NoInstance, noneFits)
}

// mayRunLate reports whether a call is sent on when its budget is spent.
func (c *Call) mayRunLate() bool {
	return wire.Late(c.settings().Late).Runs(c.method.contract.RunLate || c.Request.Options&wire.RunLate != 0)
}

// keep accounts for the memory of a request that is kept, or lets go of it where there is no room.
func (r *Router) keep(c *Call) {
	if !c.kept {
		return
	}
	c.keptSize = int64(len(c.buffer) + len(c.body))
	if r.kept.Add(c.keptSize) > r.opts.MaxKept {
		r.kept.Add(-c.keptSize)
		c.kept, c.keptSize = false, 0
	}
}

// budget is the time that a call has: what its caller gave, else what the contract says, else the node's default.
func (r *Router) budget(c *Call) time.Duration {
	budget, set := c.Budget, c.settings()
	if budget <= 0 {
		budget = cmp.Or(set.DefaultTimeout, time.Duration(c.method.contract.DefaultTimeoutMS)*time.Millisecond, r.opts.DefaultTimeout)
	}
	if set.MaxTimeout > 0 {
		budget = min(budget, set.MaxTimeout)
	}
	return budget
}

// lookup finds the method that a request names.
func (r *Router) lookup(req *wire.Request) (m *method, code wire.Code, why string) {
	if req.Module[0] == '_' {
		return nil, wire.Denied, "modules whose names begin with _ are the nodes' own"
	}
	mod := r.table.Load().modules[string(req.Module)]
	if mod == nil {
		return nil, wire.NoModule, "no instance of the module is registered"
	}
	m = mod.methods[string(req.Method)]
	if m == nil {
		if req.Method[0] == '_' {
			return mod.reserved, wire.OK, ""
		}
		return nil, wire.Unimplemented, "no instance of the module has the method"
	}
	if m.contract.Visibility == "admin" {
		return nil, wire.Denied, "the method is for operators"
	}
	if req.Options&wire.Reachable != 0 {
		return nil, wire.StoreUnavailable, "this node has no store for reachable calls"
	}
	return m, wire.OK, ""
}

// chooser returns the set that a request is to be sent to one of, or the one entry that it names.
func (m *method) chooser(req *wire.Request) (s *set, one *entry) {
	if len(req.Instance) > 0 {
		e := m.module.byName[string(req.Instance)]
		if e == nil || !e.choosable() || !e.inGroup(req.Group) || !e.has(m) {
			return nil, nil
		}
		return nil, e
	}
	if len(req.Group) > 0 {
		return m.groups[string(req.Group)], nil
	}
	return m.all, nil
}

// OneWay sends a call that nothing ever comes back from. A refusal is counted by its code.
func (r *Router) OneWay(b *Batch, c *Call, receivedAt uint64) {
	code := r.oneWay(b, c, receivedAt)
	if code != wire.OK {
		r.counters.OneWayRefused[code].Add(1)
	} else {
		r.counters.OneWay.Add(1)
	}
	c.leave(b.Now, code)
	r.Drop(c)
}

func (r *Router) oneWay(b *Batch, c *Call, receivedAt uint64) wire.Code {
	c.account = r.account(b.Now, c.Caller, &c.Request)
	if v := r.admit(b, c); !v.Admitted() {
		return wire.Code(v.Code)
	}
	meth, code, _ := r.lookup(&c.Request)
	if code != wire.OK {
		return code
	}
	c.method = meth
	c.stamp(receivedAt)
	c.runLate = c.mayRunLate()
	c.deadline = c.Arrived + r.budget(c)
	left := c.deadline - b.Now
	if left <= 0 && !c.runLate {
		return wire.Expired
	}
	code = wire.NoInstance
	for c.offers < maxOffers && c.npaths < maxPaths {
		e, p := r.choose(b, c)
		if e == nil {
			break
		}
		c.paths[c.npaths] = p.claim.reg.Session
		c.npaths++
		c.offers++
		b.frame = c.frame(p, left)
		err := p.via.Send(b, &b.frame, c.runLate)
		c.done(b, e, governance.Local) // nothing will ever be heard of it
		if err == nil {
			c.account.meter.Started()
			return wire.OK
		}
		code = wire.Overloaded
		if errors.Is(err, ErrGone) {
			c.offers--
			code = wire.NoInstance
		}
		if !r.lookAgain(c, e) {
			break
		}
	}
	if code == wire.NoInstance && len(c.method.nodesAway(&c.Request)) > 0 {
		r.counters.NoRoutes.Add(1)
		code = wire.NoRoute
	}
	return code
}

func random() uint64 { return rand.Uint64() } //nolint:gosec // jitter and choices
