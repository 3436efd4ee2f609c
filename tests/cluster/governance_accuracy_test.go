package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// What a limit of the mesh must keep.
const (
	meshLimit = 1000.0 // calls per second
	warmUp    = 1500 * time.Millisecond
	windows   = 10   // of 1 s, one after the other
	tolerance = 0.03 // over all of them, on a quiet machine; twice that here
)

// skew is where calls come in.
type skew struct {
	name  string
	nodes []string
	share func(second int) []float64 // of each node, in the seconds since the beginning
	every time.Duration              // calls come in batches of so much time
}

// evenly has calls come each by itself, as far as a busy machine allows.
const evenly = 2 * time.Millisecond

func fixed(shares ...float64) func(int) []float64 { return func(int) []float64 { return shares } }

// moving has all calls at one node, and at the next one two seconds later.
func moving(nodes int) func(int) []float64 {
	return func(second int) []float64 {
		shares := make([]float64, nodes)
		shares[second/2%nodes] = 1
		return shares
	}
}

// A limit of the mesh lets as many calls pass as it says, wherever they come in.
func TestALimitOfTheMeshIsAccurate(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute")
	}
	for _, together := range [][]skew{
		{
			{"one node", []string{"a"}, fixed(1), evenly},
			{"two nodes, one has it all", []string{"a", "b"}, fixed(0, 1), evenly},
			{"two nodes, in batches", []string{"a", "b"}, fixed(0, 1), 20 * time.Millisecond},
			{"two nodes, it moves", []string{"a", "b"}, moving(2), evenly},
		},
		{
			{"three nodes, one has it all", abc, fixed(0, 1, 0), evenly},
			{"three nodes, 80:15:5", abc, fixed(0.05, 0.8, 0.15), evenly},
			{"three nodes, it moves", abc, moving(3), evenly},
		},
	} {
		var all []func()
		for _, s := range together {
			all = append(all, func() { t.Run(s.name, func(t *testing.T) { isAccurate(t, govern(t, true, s.nodes...), s) }) })
		}
		atOnce(all...)
	}
}

// crossing is load on several nodes of one mesh.
type crossing struct {
	g       *governed
	modules []*module
	loads   []*load
}

// cross limits pay, and begins to offer calls at each node, of its own instance.
func (g *governed) cross(every time.Duration, rates ...float64) *crossing {
	x := &crossing{g: g}
	for i, h := range g.running() {
		x.modules = append(x.modules, g.serveAt("pay", "pay-"+h.name, echo, h.name))
		web := g.clientAt("web", h.name)
		web.wantOK("pay.Do", rpcclient.Instance("pay-"+h.name))
		x.loads = append(x.loads, web.loadInBatches(every, int64(rates[i]), "pay.Do", rpcclient.Instance("pay-"+h.name)))
	}
	g.operatorAt("kim", "a").puts(fmt.Sprintf("id: limit, module: pay, rate: {per_second: %v}", meshLimit))
	return x
}

// admitted returns how many calls have come to handlers.
func (x *crossing) admitted() (n int64) {
	for _, m := range x.modules {
		n += m.started.Load()
	}
	return n
}

func (x *crossing) offered() (n int64) {
	for _, l := range x.loads {
		n += l.offered.Load()
	}
	return n
}

func (x *crossing) end() {
	var all []func()
	for _, l := range x.loads {
		all = append(all, l.end)
	}
	atOnce(all...)
}

// isAccurate offers three times what the limit allows, and counts what comes to handlers. What too few calls pass of on a machine that is
// busy with something else is measured again; a limit that is wrong is so every time. Too many never pass.
func isAccurate(t *testing.T, g *governed, s skew) {
	const offer = 3 * meshLimit
	rates := func(second int) []float64 {
		all := slices.Clone(s.share(second))
		for i := range all {
			all[i] *= offer
		}
		return all
	}
	x := g.cross(s.every, rates(0)...)
	g.lasts(warmUp)
	for range 3 {
		got, asked, ahead := x.measure(s.name, rates)
		if ahead > meshLimit/10 {
			t.Errorf("%.0f calls more have passed than the limit allows, want at most the burst of a tenth", ahead)
		}
		if got > meshLimit*(1+2*tolerance) {
			t.Errorf("%.1f/s pass, want %.0f/s within %.0f %%", got, meshLimit, 200*tolerance)
		}
		if asked >= 2*meshLimit && got >= meshLimit*(1-2*tolerance) {
			x.end()
			return
		}
	}
	t.Errorf("three times, less than %.0f %% of the limit pass, or the machine is too busy to offer more calls", 100-200*tolerance)
}

// measure returns how many calls pass in a second, how many are offered, and how many more have passed at the end of any second than
// the limit allows up to then.
func (x *crossing) measure(name string, rates func(second int) []float64) (got, asked, ahead float64) {
	began, first, offered := time.Now(), x.admitted(), x.offered()
	last, from := first, began
	var seconds []string
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for second := range windows {
		for i, r := range rates(second) {
			x.loads[i].rate.Store(int64(r))
		}
		<-ticks.C
		now, n := time.Now(), x.admitted()
		rate := float64(n-last) / now.Sub(from).Seconds()
		seconds = append(seconds, fmt.Sprintf("%.0f", rate))
		ahead = max(ahead, float64(n-first)-meshLimit*(1+2*tolerance)*now.Sub(began).Seconds())
		last, from = n, now
	}
	over := from.Sub(began).Seconds()
	got, asked = float64(last-first)/over, float64(x.offered()-offered)/over
	x.g.t.Logf("%s: %.1f/s pass of %.0f/s, %+.2f %%, of %.0f/s; second by second %s",
		name, got, meshLimit, 100*(got/meshLimit-1), asked, strings.Join(seconds, " "))
	return got, asked, ahead
}

// In a split no more calls pass on all sides together than the limit and one lease.
func TestALimitOfTheMeshInASplit(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	g := govern(t, true, abc...)
	x := g.cross(evenly, 1500, 1500, 1500)
	g.lasts(warmUp)

	began, before := time.Now(), x.admitted()
	g.net.split("a", "c")
	g.net.split("b", "c")
	g.wantDown("a", "c")
	g.wantDown("b", "c")
	down := time.Since(began)
	g.lasts(2 * time.Second)
	split, passed := time.Since(began), float64(x.admitted()-before)
	apart := g.shares()
	g.net.heal("a", "c")
	g.net.heal("b", "c")
	g.wantUp()
	g.lasts(time.Second)
	healing, again := time.Now(), x.admitted()
	g.lasts(2 * time.Second)
	healed := float64(x.admitted()-again) / time.Since(healing).Seconds()
	x.end()

	// One lease of at most a second, and the burst.
	most, least := meshLimit*(split.Seconds()+1)+meshLimit/10, 0.8*meshLimit*split.Seconds()
	t.Logf("in a split of %.2f s, seen after %.2f s, %.0f calls pass, %.1f/s; at most %.0f may; shares %v; afterwards %.1f/s",
		split.Seconds(), down.Seconds(), passed, passed/split.Seconds(), most, apart, healed)
	if passed > most || passed < least {
		t.Errorf("%.0f calls pass in the split of %v, want %.0f to %.0f", passed, split, least, most)
	}
	var sum float64
	for _, rate := range apart {
		sum += rate
	}
	if sum > meshLimit*1.01 {
		t.Errorf("the shares of the two sides are %v, together %.0f/s, want at most %.0f/s", apart, sum, meshLimit)
	}
	if healed > meshLimit*(1+3*tolerance) || healed < 0.8*meshLimit { // it is a short time, and the machine may be busy
		t.Errorf("%.1f/s pass after the split, want %.0f/s", healed, meshLimit)
	}
}

// shares returns the rate of each node.
func (g *governed) shares() map[string]float64 {
	rates := map[string]float64{}
	var mu sync.Mutex
	var all []func()
	for _, h := range g.running() {
		all = append(all, func() {
			var v struct {
				Nodes []struct {
					Shares []struct {
						Rate float64 `json:"rate"`
					} `json:"shares"`
				} `json:"nodes"`
			}
			a := g.operatorAt("kim", h.name).ask(http.MethodGet, "/v1/quota", nil)
			a.into(g, &v)
			mu.Lock()
			defer mu.Unlock()
			for _, n := range v.Nodes {
				for _, s := range n.Shares {
					rates[h.name] += s.Rate
				}
			}
		})
	}
	atOnce(all...)
	return rates
}
