package caller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestCallerFailsOverToTheNodesItWasToldOf(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta", "gamma")
		alpha, beta, gamma := town[0], town[1], town[2]
		alice := m.client("alpha:1")
		p := <-alpha.opened
		time.Sleep(time.Minute)
		sent := alice.ask(t.Context(), "sent")
		<-p.requests
		alpha.set(func() { alpha.down, beta.down = true, true })
		from := time.Now()
		p.kill()
		sent.wantError(t, Unknown, CodeConnectionLost)
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the call ended after %s", waited)
		}
		waiting := alice.ask(t.Context(), "waiting")
		q := <-gamma.opened
		if waited := time.Since(from); waited > 2*spreadLoss {
			t.Errorf("the next session took %s", waited)
		}
		f := <-q.requests
		q.reply(&f, wire.OK, nil, "done")
		waiting.wantReply(t, "done")
		if dials := m.dialed()[1:]; slices.Contains(dials, "alpha:1") || len(dials) > 2 {
			t.Errorf("it dialed %v: first those that may be there", dials)
		}
		// It comes back to a node that was lost once, when there is no other.
		time.Sleep(time.Minute)
		alpha.set(func() { alpha.down, gamma.down = false, true })
		from = time.Now()
		q.kill()
		<-alpha.opened
		if waited := time.Since(from); waited > 2*spreadLoss {
			t.Errorf("the next session took %s", waited)
		}
	})
}

// A node that was cut off from the mesh says so before its clients lose it. They still know the others.
func TestFormerNodesAreTriedWhenThereIsNoSession(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		alice := m.client("alpha:1")
		p := <-town[0].opened
		p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha")})
		time.Sleep(time.Minute)
		town[0].set(func() { town[0].down = true })
		p.kill()
		<-town[1].opened
		synctest.Wait()
		if s := alice.States()[0]; s.Node != "beta" {
			t.Errorf("state is %v", s)
		}
	})
}

func TestNodesReplaceWhatWasLearnt(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.town("alpha", "beta")[0]
		alice := m.client("alpha:1")
		p := <-alpha.opened
		want := func(addresses ...string) {
			t.Helper()
			synctest.Wait()
			alice.mu.Lock()
			got := alice.knownLocked()
			alice.mu.Unlock()
			slices.Sort(got)
			if !slices.Equal(got, addresses) {
				t.Fatalf("it knows %v, want %v", got, addresses)
			}
		}
		want("alpha:1", "beta:1")
		tell := func(nodes ...*pb.Node) { p.tell(wire.KindNodes, &pb.Nodes{Nodes: nodes}) }
		tell(known("alpha", "gamma", "delta")...)
		want("alpha:1", "delta:1", "gamma:1")
		tell()
		want("alpha:1")
		tell(&pb.Node{Name: "omega", Address: "nonsense"}, &pb.Node{Name: "beta", Address: "beta:2"})
		want("alpha:1", "beta:2")
		var many []*pb.Node
		for i := range 10 * maxLearnt {
			many = append(many, &pb.Node{Name: fmt.Sprint("n", i), Address: fmt.Sprintf("n%d:1", i)})
		}
		for range 3 {
			tell(many...)
			slices.Reverse(many)
		}
		synctest.Wait()
		alice.mu.Lock()
		defer alice.mu.Unlock()
		if n, former := len(alice.knownLocked()), len(alice.addresses.former); n != maxLearnt+1 || former > maxLearnt {
			t.Errorf("it knows %d addresses and %d former ones, want at most %d", n, former, maxLearnt)
		}
	})
}

func TestBrokenNodesClosesTheConnection(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.town("alpha")[0]
		m.client("alpha:1")
		p := <-alpha.opened
		synctest.Wait()
		p.send(0, &wire.Frame{Kind: wire.KindNodes, Header: []byte{0xff}})
		<-p.gone
	})
}

func TestReconnectIsQuickerWhileTheMachineAnswers(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1") // its machine is there, and alpha does not run
		alpha.set(func() { alpha.down = true })
		m.client("alpha:1")
		time.Sleep(10 * time.Minute)
		if n := len(m.dialed()); n < 150 || n > 400 { // one in 2.5 s on average
			t.Errorf("%d dials in 10 minutes", n)
		}
	})
}

func TestLoginRefusedByOneNodeOnly(t *testing.T) {
	for _, code := range []wire.Code{wire.Denied, wire.Overloaded, wire.Draining} {
		story(t, func(t *testing.T, m *mesh) {
			town := m.town("alpha", "beta")
			town[0].set(func() {
				town[0].refuse = &pb.Refuse{Code: uint32(code), RetryAfterMs: 60_000, Try: known("alpha", "beta")}
			})
			from := time.Now()
			alice := m.client("alpha:1")
			a := alice.ask(t.Context(), "one")
			p := <-town[1].opened
			if waited := time.Since(from); waited > spreadLoss {
				t.Errorf("%v: the other node was asked after %s", code, waited)
			}
			f := <-p.requests
			p.reply(&f, wire.OK, nil, "done")
			a.wantReply(t, "done")
			// What one node said once is not what calls are told when another one is lost.
			time.Sleep(time.Hour)
			town[0].set(func() { town[0].refuse, town[0].down, town[1].down = nil, true, true })
			p.kill()
			synctest.Wait()
			err := alice.Call(t.Context(), "shop.Buy", nil, nil)
			if e := wantError(t, err, NotExecuted, CodeExpired); !strings.Contains(e.Message, "there was no session: waiting") {
				t.Errorf("error is %v", e)
			}
		})
	}
	// All refuse, and name each other.
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		for i, n := range town {
			n.set(func() { n.refuse = &pb.Refuse{Code: uint32(wire.Draining), Try: known(town[1-i].name)} })
		}
		alice := m.client("alpha:1,beta:1")
		time.Sleep(10 * time.Minute)
		if n := len(m.dialed()); n > 2*90 {
			t.Errorf("%d dials in 10 minutes", n)
		}
		for i, n := range town {
			n.set(func() { n.refuse = &pb.Refuse{Code: uint32(wire.Denied), Try: known(town[1-i].name)} })
		}
		err := alice.Call(t.Context(), "shop.Buy", nil, nil, Timeout(time.Hour))
		e := wantError(t, err, NotExecuted, CodeDenied)
		if !strings.Contains(e.Message, "login refused") {
			t.Errorf("error is %v", e)
		}
	})
}

// Nodes that let clients in and send them away at once do not keep them busy.
func TestNodesThatSendEachOtherTheirClients(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		m.client("alpha:1")
		count := 0
		over := time.After(time.Minute)
		for {
			select {
			case p := <-town[0].opened:
				p.goaway(wire.Draining, known("beta")...)
			case p := <-town[1].opened:
				p.goaway(wire.Draining, known("alpha")...)
			case <-over:
				if count < 60 || count > 240 {
					t.Errorf("%d sessions in a minute", count)
				}
				return
			}
			count++
		}
	})
}

// TestSessionsInAnyWeather has nodes go, come back, drain, and tell of each other, at random. While they do, sessions are never
// with one node twice; when they have settled, there are sessions with two nodes, unless there is one only.
func TestSessionsInAnyWeather(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		story(t, func(t *testing.T, m *mesh) {
			names := []string{"alpha", "beta", "gamma", "delta"}[:1+random.IntN(4)]
			town := m.town(names...)
			given := "alpha:1"
			if random.IntN(2) == 0 {
				given = strings.Join(names, ":1,") + ":1"
			}
			shop := m.server(given)
			peers := func() (all []*peer) {
				m.mu.Lock()
				defer m.mu.Unlock()
				for _, n := range town {
					for _, p := range n.peers {
						select {
						case <-p.gone:
						default:
							all = append(all, p)
						}
					}
				}
				return all
			}
			for range 30 {
				n := town[random.IntN(len(town))]
				switch random.IntN(5) {
				case 0:
					n.set(func() { n.down = !n.down })
				case 1, 2:
					for _, p := range peers() {
						if p.node == n {
							p.kill()
						}
					}
				case 3:
					for _, p := range peers() {
						if p.node == n {
							p.goaway(wire.Draining, known(names[random.IntN(len(names))])...)
						}
					}
				case 4:
					some := slices.Clone(names)
					random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
					for _, p := range peers() {
						p.tell(wire.KindNodes, &pb.Nodes{Nodes: known(some[:random.IntN(len(some)+1)]...)})
					}
				}
				time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				synctest.Wait()
				shop.wantDifferentNodes(t)
				if err := shop.ConsistencyCheck(); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range town {
				n.set(func() { n.down = false })
			}
			for range 3 { // all is well again, and said to be, also to who logs in late
				time.Sleep(2 * backoffMax)
				for _, p := range peers() {
					p.tell(wire.KindNodes, &pb.Nodes{Nodes: known(names...)})
				}
			}
			synctest.Wait()
			shop.wantDifferentNodes(t)
			open := 0
			for _, s := range shop.States() {
				if s.Name == StateOpen {
					open++
				}
			}
			if open != min(2, len(names)) || len(peers()) != open {
				t.Errorf("%d sessions are open in a mesh of %d nodes, which have %d: %v", open, len(names), len(peers()), shop.States())
			}
		})
	}
}

func (c *Client) wantDifferentNodes(t *testing.T) {
	t.Helper()
	with := map[string]bool{}
	for _, s := range c.States() {
		if s.Name == StateOpen && with[s.Node] {
			t.Fatalf("two sessions are with one node: %v", c.States())
		}
		if s.Name == StateOpen {
			with[s.Node] = true
		}
	}
}

func TestGoawayThatNamesNobody(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		m.client("alpha:1")
		p := <-town[0].opened
		synctest.Wait()
		p.goaway(wire.Draining)
		<-town[1].opened
		<-p.gone
		if dials := m.dialed(); !slices.Equal(dials, []string{"alpha:1", "beta:1"}) {
			t.Errorf("it dialed %v, want another node first", dials)
		}
	})
}

// A machine that does not even refuse does not hold up the way to others for long.
func TestSilentMachineIsPassedOver(t *testing.T) {
	for range 10 {
		story(t, func(t *testing.T, m *mesh) {
			town := m.town("alpha", "beta", "hole")
			m.client("alpha:1", func(o *Options) {
				o.Dial = func(ctx context.Context, address string) (netConn, error) {
					if address == "hole:1" {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return m.dial(ctx, address)
				}
			})
			p := <-town[0].opened
			synctest.Wait()
			from := time.Now()
			town[0].set(func() { town[0].down = true })
			p.kill()
			<-town[1].opened
			if waited := time.Since(from); waited > dialQuickly+2*spreadLoss {
				t.Errorf("the next session took %s", waited)
			}
		})
	}
}

// The process of a node may stand still behind a port that takes connections. It does not hold up the way to others either.
func TestSilentNodeIsPassedOver(t *testing.T) {
	for range 10 {
		story(t, func(t *testing.T, m *mesh) {
			town := m.town("alpha", "beta", "frozen")
			m.client("alpha:1", func(o *Options) {
				o.Dial = func(ctx context.Context, address string) (netConn, error) {
					if address == "frozen:1" {
						ours, _ := testkit.Pipe(testkit.PipeOptions{})
						return ours, nil
					}
					return m.dial(ctx, address)
				}
			})
			p := <-town[0].opened
			synctest.Wait()
			from := time.Now()
			town[0].set(func() { town[0].down = true })
			p.kill()
			<-town[1].opened
			if waited := time.Since(from); waited > loginQuickly+2*spreadLoss {
				t.Errorf("the next session took %s", waited)
			}
		})
	}
}

// A node that could not be reached for long is tried at once when another one says that it is there.
func TestNodeThatIsSaidToBeThereIsTriedAtOnce(t *testing.T) {
	longest := time.Duration(0)
	for range 5 {
		story(t, func(t *testing.T, m *mesh) {
			alpha := m.town("alpha")[0]
			m.server("alpha:1,beta:1")
			p := <-alpha.opened
			time.Sleep(10 * time.Minute)
			beta := m.town("beta")[0]
			from := time.Now()
			p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha", "beta")})
			<-beta.opened
			waited := time.Since(from)
			if waited > spreadNews {
				t.Errorf("the second session took %s", waited)
			}
			longest = max(longest, waited)
		})
	}
	if longest < spreadLoss {
		t.Errorf("five servers dialed within %s: all servers of a mesh must not come at once", longest)
	}
}

func TestNodeThatWasDownOnceIsNotPassedOver(t *testing.T) {
	for range 6 { // whichever is asked first
		story(t, func(t *testing.T, m *mesh) {
			town := m.town("alpha", "beta")
			town[1].set(func() { town[1].down = true })
			m.client("alpha:1,beta:1")
			p := <-town[0].opened
			time.Sleep(time.Minute)
			town[0].set(func() { town[0].down, town[1].down = true, false })
			from := time.Now()
			p.kill()
			<-town[1].opened
			if waited := time.Since(from); waited > spreadLoss {
				t.Errorf("the next session took %s", waited)
			}
		})
	}
}

func TestGoawayWithRetryAfter(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.town("alpha")[0]
		m.client("alpha:1")
		p := <-alpha.opened
		synctest.Wait()
		from := time.Now()
		p.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Overloaded), RetryAfterMs: 60_000})
		<-alpha.opened
		if waited := time.Since(from); waited < time.Minute || waited > time.Minute+spreadNews {
			t.Errorf("it came back after %s, it was asked for a minute", waited)
		}
	})
}

func TestWhatIsRememberedOfAddressesIsBounded(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alice := m.client("nowhere:1")
		alice.mu.Lock()
		defer alice.mu.Unlock()
		for i := range 10 * maxReached {
			address, now := fmt.Sprintf("n%d:1", i), time.Duration(i)*time.Second
			alice.addresses.reachedLocked(address, "n")
			alice.addresses.restLocked(address, now, now+time.Minute)
		}
		if a := alice.addresses; len(a.reached) > maxReached || len(a.rests) > 61 {
			t.Errorf("%d nodes and %d rests are remembered", len(a.reached), len(a.rests))
		}
	})
}
