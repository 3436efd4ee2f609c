package registry

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

var (
	schedules = flag.Int("schedules", 10_000, "how many random schedules TestModel runs; 1,000,000 take some minutes")
	seedFlag  = flag.Uint64("seed", 0, "the seed of TestModel; 0 draws one")
	onlyFlag  = flag.Int("schedule", -1, "the one schedule of the seed that TestModel runs, with a trace")
)

// TestModel runs random schedules of two to seven nodes over a network that loses, doubles, delays, reorders, splits, and is
// deaf in one direction, with logins and logouts, crashes, restarts with a lower clock, pauses and changes of membership.
// The properties of doc.go are checked at every frame and, when the network is whole again, of all pairs. A failure
// prints seed and schedule:
//
//	go test ./messageserver/internal/peer/registry -run TestModel -seed N -schedule I
//
// and this is for a night:
//
//	go test ./messageserver/internal/peer/registry -run TestModel -schedules 1000000 -timeout 2h
func TestModel(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	if *onlyFlag >= 0 {
		if failed := runSchedule(seed, *onlyFlag, t.Logf, &tally{}); failed != nil {
			t.Error(failed)
		}
		return
	}
	n := *schedules
	if testing.Short() {
		n = min(n, 1000)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	tallies := make([]tally, runtime.GOMAXPROCS(0))
	for w := range tallies {
		all.Go(func() {
			for !t.Failed() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if failed := runSchedule(seed, i, nil, &tallies[w]); failed != nil {
					t.Errorf("-seed %d -schedule %d: %v", seed, i, failed)
				}
			}
		})
	}
	all.Wait()
	sum := tally{}
	for i := range tallies {
		sum.add(&tallies[i])
	}
	t.Logf("%+v", sum)
	if n >= 1000 {
		sum.wantAll(t)
	}
}

// tally is what schedules went through, so that a model in which nothing happens is noticed.
type tally struct {
	Links, Refused, Closed, Crashes, Removed, Quiet, Winners, Slowest int
	Frames                                                            Counters
}

func (a *tally) add(b *tally) {
	a.Links += b.Links
	a.Refused += b.Refused
	a.Closed += b.Closed
	a.Crashes += b.Crashes
	a.Removed += b.Removed
	a.Quiet += b.Quiet
	a.Winners += b.Winners
	a.Slowest = max(a.Slowest, b.Slowest)
	a.Frames.Add(&b.Frames)
}

func (a *tally) wantAll(t *testing.T) {
	for what, n := range map[string]uint64{
		"refused incarnations": uint64(a.Refused), "links given up": uint64(a.Closed), "removed members": uint64(a.Removed),
		"duplicates": uint64(a.Winners), "gaps": a.Frames.Gaps, "mixed parts": a.Frames.Mixed, "stale frames": a.Frames.Stale,
		"doubts": a.Frames.Doubts, "resyncs": a.Frames.ResyncsTaken, "snapshots": a.Frames.SnapshotsTaken, "deltas": a.Frames.DeltasTaken,
		"parts": a.Frames.PartsTaken - a.Frames.SnapshotsTaken - a.Frames.DeltasTaken, "quiet links": uint64(a.Quiet),
	} {
		if n == 0 {
			t.Errorf("no schedule had any %s", what)
		}
	}
	if a.Frames.Mismatches > 0 || a.Frames.Ahead > 0 {
		t.Errorf("%d digests differed, %d receivers were ahead: nothing here is broken", a.Frames.Mismatches, a.Frames.Ahead)
	}
}

// world is the nodes and the network of one schedule.
type world struct {
	rnd     *rand.Rand
	now     time.Duration
	nodes   []*node
	queue   [][][]frame // by sender and receiver
	paths   [][]path    // by sender and receiver
	epoch   int
	room    int // frames that one link takes at once
	session uint64
	stamp   uint64
	trace   func(string, ...any)
	tally   *tally
}

// path is what the network does to frames of one direction.
type path struct {
	blocked            bool
	loss, twice, mixes float64
}

// frame is on its way. An empty header with kind 0 is the end of the connection.
type frame struct {
	kind   wire.Kind
	header []byte
	at     time.Duration
	epoch  int
}

// state is the entries of an owner at one version.
type state map[uint64]*router.Registration

// node is a member; its process may be dead.
type node struct {
	w       *world
	index   int
	name    string
	alive   bool
	boot    int
	kept    uint64 // the incarnation on its disk
	clock   uint64 // what it takes for the time, in ms
	paused  time.Duration
	own     *Own
	changes []router.Change        // to be a version soon
	peers   []*other               // by index; its own is nil
	history map[Mark]state         // of this process
	past    map[int]map[Mark]state // of all, by boot
}

// other is what a node has of another.
type other struct {
	member bool
	view   *View
	held   state // what the changes lead to: the router's table
	mark   Mark  // of the view when it was last looked at
	boot   int
	epoch  int
	x      *Exchange // nil: there is no link
}

// failure ends a schedule.
type failure struct{ error }

func (w *world) failf(format string, args ...any) {
	panic(failure{fmt.Errorf("at %v: "+format, append([]any{w.now}, args...)...)})
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace("%v "+format, append([]any{w.now}, args...)...)
	}
}

func runSchedule(seed uint64, i int, trace func(string, ...any), sum *tally) (failed error) {
	defer func() {
		if p := recover(); p != nil {
			f, ours := p.(failure)
			if !ours {
				panic(p)
			}
			failed = f
		}
	}()
	w := newWorld(rand.New(rand.NewPCG(seed, uint64(i))), trace, sum)
	for range 1 + w.rnd.IntN(5)/4 {
		for range 5 + w.rnd.IntN(20) {
			w.act()
			for range 1 + w.rnd.IntN(2) {
				w.step(time.Duration(w.rnd.IntN(300)) * time.Millisecond)
			}
		}
		w.settle()
	}
	for _, n := range w.nodes {
		for _, o := range n.peers {
			if o != nil {
				n.drop(o)
			}
		}
	}
	return nil
}

func newWorld(rnd *rand.Rand, trace func(string, ...any), sum *tally) *world {
	sizes := []int{2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5, 6, 7}
	w := &world{rnd: rnd, now: time.Hour, trace: trace, tally: sum, room: 4}
	count := sizes[rnd.IntN(len(sizes))]
	for i := range count {
		w.nodes = append(w.nodes, &node{w: w, index: i, name: string(rune('a' + i)), clock: 1000, past: make(map[int]map[Mark]state)})
		w.queue = append(w.queue, make([][]frame, count))
		w.paths = append(w.paths, make([]path, count))
	}
	for _, n := range w.nodes {
		n.peers = make([]*other, count)
		n.start()
		for i := range n.peers {
			if i != n.index {
				n.peers[i].member = true
			}
		}
	}
	return w
}

// step lets time go by: nodes say what is due, the network delivers.
func (w *world) step(d time.Duration) {
	w.now += d
	for _, n := range w.nodes {
		if !n.running() {
			continue
		}
		if len(n.changes) > 0 {
			n.apply()
		}
		for i, o := range n.peers {
			if o == nil {
				continue
			}
			if o.x == nil && i > n.index {
				n.dial(w.nodes[i])
			}
			if o.x != nil {
				n.say(w.nodes[i])
			}
		}
	}
	for from := range w.nodes {
		for to := range w.nodes {
			w.deliver(from, to)
		}
	}
}

// say sends what is due on one link, as far as there is room.
func (n *node) say(to *node) {
	w, o := n.w, n.peers[to.index]
	o.x.Tick(w.now, Info{}, 1)
	if err := o.x.Err(w.now); err != nil {
		w.tracef("%s gives up %s: %v", n.name, to.name, err)
		w.tally.Closed++
		n.close(to)
		return
	}
	for range 1 + w.rnd.IntN(w.room) {
		kind, m, ok := o.x.Next(w.now)
		if !ok {
			return
		}
		header, err := proto.Marshal(m)
		if err != nil || len(header) > maxMessage {
			w.failf("%s of %d bytes: %v", kind, len(header), err)
		}
		if w.trace != nil {
			w.tracef("%s → %s %s %v", n.name, to.name, kind, m)
		}
		w.send(n.index, to.index, frame{kind: kind, header: header, epoch: o.epoch})
	}
}

func (w *world) send(from, to int, f frame) {
	p, q := &w.paths[from][to], w.queue[from][to]
	if f.kind != 0 && w.rnd.Float64() < p.loss {
		return
	}
	f.at = w.now + time.Duration(w.rnd.IntN(40))*time.Millisecond
	if len(q) > 0 {
		f.at = max(f.at, q[len(q)-1].at)
	}
	q = append(q, f)
	if f.kind != 0 && w.rnd.Float64() < p.twice {
		q = append(q, f)
	}
	if n := len(q); n > 1 && q[n-2].kind != 0 && f.kind != 0 && w.rnd.Float64() < p.mixes {
		q[n-1], q[n-2] = q[n-2], q[n-1]
	}
	w.queue[from][to] = q
}

// deliver hands over what has arrived. A blocked path keeps it, as TCP does.
func (w *world) deliver(from, to int) {
	n := w.nodes[to]
	for !w.paths[from][to].blocked {
		q := w.queue[from][to]
		if len(q) == 0 || q[0].at > w.now || n.alive && !n.running() {
			return
		}
		f := q[0]
		w.queue[from][to] = q[1:]
		o := n.peers[from]
		switch {
		case !n.alive || o.x == nil || o.epoch != f.epoch:
			if f.kind != 0 {
				w.send(to, from, frame{epoch: f.epoch}) // reset
			}
		case f.kind == 0:
			w.tracef("%s lost %s", n.name, w.nodes[from].name)
			n.drop(o)
		default:
			n.take(w.nodes[from], f)
		}
	}
}

// pick returns a random running node, or nil.
func (w *world) pick() *node {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	if !n.running() {
		return nil
	}
	return n
}

// two returns two different nodes.
func (w *world) two() (a, b *node) {
	i := w.rnd.IntN(len(w.nodes))
	j := w.rnd.IntN(len(w.nodes) - 1)
	if j >= i {
		j++
	}
	return w.nodes[i], w.nodes[j]
}
