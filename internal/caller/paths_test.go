package caller

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// town returns nodes that know each other, at name:1.
func (m *mesh) town(names ...string) []*node {
	nodes := make([]*node, len(names))
	for i, name := range names {
		nodes[i] = m.node(name, name+":1")
		nodes[i].policy, nodes[i].knows = true, known(names...)
	}
	return nodes
}

// known is what a node says that reaches these.
func known(names ...string) (all []*pb.Node) {
	for _, name := range names {
		all = append(all, &pb.Node{Name: name, Address: name + ":1"})
	}
	return all
}

// server returns a started server that wants two sessions.
func (m *mesh) server(addresses string, change ...func(*Options)) *Client {
	m.t.Helper()
	return m.client(addresses, append([]func(*Options){func(o *Options) {
		o.Server, o.Connections = idleServer{}, 2
		o.Login = &pb.Login{Module: "shop", Instance: "shop-1", Role: pb.Role_ROLE_SERVER}
	}}, change...)...)
}

func (m *mesh) dialed() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.dials)
}

// wantNodes wants the client to have open sessions with these nodes, in any order, and with no others.
func (c *Client) wantNodes(t *testing.T, names ...string) {
	t.Helper()
	synctest.Wait()
	var open []string
	for _, s := range c.States() {
		if s.Name == StateOpen {
			open = append(open, s.Node)
		}
	}
	slices.Sort(open)
	slices.Sort(names)
	if !slices.Equal(open, names) {
		t.Fatalf("sessions are open with %v, want %v: %v", open, names, c.States())
	}
}

// wantAlone wants one path to wait without dialing, for this reason.
func (c *Client) wantAlone(t *testing.T, reason string) {
	t.Helper()
	synctest.Wait()
	for _, s := range c.States() {
		if s.Name == StateWaiting && s.Reason == reason && strings.Contains(s.String(), reason) {
			return
		}
	}
	t.Fatalf("no path waits because %q: %v", reason, c.States())
}

func (p *peer) wantOpen(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-p.gone:
		t.Fatalf("the session with %s is closed: %v", p.node.name, p.cause)
	default:
	}
}

func TestServerHasSessionsWithTwoNodes(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta", "gamma")
		town[0].set(func() { town[0].refuse = &pb.Refuse{Code: uint32(wire.Overloaded), RetryAfterMs: 3000} })
		shop := m.server("alpha:1")
		synctest.Wait()
		shop.wantAlone(t, "for the first connection")
		town[0].set(func() { town[0].refuse = nil })
		first := <-town[0].opened
		var second *peer
		select {
		case second = <-town[1].opened:
		case second = <-town[2].opened:
		}
		a, b := first.login, second.login
		if a.GetStamp() != nil || b.GetStamp().GetN() != 7 || b.GetStamp().GetNode() != "alpha" {
			t.Errorf("stamps are %v, then %v, want none and then that of the first WELCOME", a.GetStamp(), b.GetStamp())
		}
		if a.GetInstanceUuid() != b.GetInstanceUuid() || a.GetInstance() != b.GetInstance() || a.GetFeatures() != wire.FeatureNodes {
			t.Errorf("the process logged in as %v, then as %v", a, b)
		}
		shop.wantNodes(t, "alpha", second.node.name)
		before := len(m.dialed())
		time.Sleep(10 * time.Minute)
		first.wantOpen(t)
		second.wantOpen(t)
		if n := len(m.dialed()); n != before {
			t.Errorf("%d dials came after all was well", n-before)
		}
	})
}

func TestMoreConnectionsThanNodes(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		m.town("alpha", "beta")
		shop := m.server("alpha:1,beta:1", func(o *Options) { o.Connections = 4 })
		time.Sleep(time.Minute)
		shop.wantNodes(t, "alpha", "beta")
		shop.wantAlone(t, "2 nodes are known, each has a connection")
		if n := len(m.dialed()); n != 2 {
			t.Errorf("%d dials", n)
		}
	})
	for _, n := range []int{-1, maxConnections + 1} {
		o := Options{Addresses: []string{"a:1"}, Connections: n, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "connections") {
			t.Errorf("%d connections: %v", n, err)
		}
	}
}

func TestSecondSessionComesWithTheSecondNode(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.town("alpha")[0]
		beta := m.town("alpha", "beta")[1]
		alpha.mesh.nodes["alpha:1"] = alpha // which knows only itself
		shop := m.server("alpha:1")
		p := <-alpha.opened
		time.Sleep(10 * time.Minute)
		shop.wantAlone(t, "no other node is known")
		if n := len(m.dialed()); n != 1 {
			t.Fatalf("%d dials in a mesh of one node", n)
		}
		for range 3 { // it comes, goes, and comes back
			from := time.Now()
			p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha", "beta")})
			q := <-beta.opened
			if waited := time.Since(from); waited > spreadNews {
				t.Errorf("the second session took %s", waited)
			}
			if q.login.GetStamp().GetN() != 7 || q.login.GetInstanceUuid() != p.login.GetInstanceUuid() {
				t.Errorf("the second login is %v", q.login)
			}
			shop.wantNodes(t, "alpha", "beta")
			beta.set(func() { beta.down = true })
			q.kill()
			p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha")})
			synctest.Wait()
			before := len(m.dialed())
			time.Sleep(10 * time.Minute)
			shop.wantAlone(t, "no other node is known")
			if n := len(m.dialed()) - before; n > 1 {
				t.Errorf("%d dials to a node that is not there any more", n)
			}
			beta.set(func() { beta.down = false })
		}
		p.wantOpen(t)
	})
}

func TestGoawayFromOneOfTwoNodes(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta", "gamma")
		alpha, beta, gamma := town[0], town[1], town[2]
		gamma.set(func() { gamma.down = true })
		shop := m.server("alpha:1,beta:1,gamma:1")
		p, q := <-alpha.opened, <-beta.opened
		gamma.set(func() { gamma.down = false })
		time.Sleep(time.Minute)
		from := time.Now()
		q.goaway(wire.Draining, known("alpha", "gamma")...)
		r := <-gamma.opened
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the next session took %s", waited)
		}
		if f := wantControl(t, q, wire.KindPolicyOK); f.Kind == 0 {
			t.Error("no POLICY_OK")
		}
		wantControl(t, q, wire.KindGoaway)
		<-q.gone
		shop.wantNodes(t, "alpha", "gamma")
		p.wantOpen(t)
		r.wantOpen(t)
	})
	// There is no third: the session is given up, and the other kept.
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		alpha, beta := town[0], town[1]
		shop := m.server("alpha:1")
		p, q := <-alpha.opened, <-beta.opened
		wantControl(t, q, wire.KindPolicyOK)
		time.Sleep(time.Minute)
		beta.set(func() { beta.down = true })
		q.goaway(wire.Draining, known("alpha")...)
		wantControl(t, q, wire.KindGoaway)
		<-q.gone
		shop.wantNodes(t, "alpha")
		a := shop.ask(t.Context(), "one")
		f := <-p.requests
		p.reply(&f, wire.OK, nil, "still here")
		a.wantReply(t, "still here")
		time.Sleep(time.Minute)
		beta.set(func() { beta.down = false })
		from := time.Now()
		<-beta.opened
		if waited := time.Since(from); waited > backoffNear+spreadNews {
			t.Errorf("the node that came back was found after %s", waited)
		}
		p.wantOpen(t)
		shop.wantNodes(t, "alpha", "beta")
	})
}

// An address that nobody said to be the node's that the client is at.
func TestUnknownAliasOfTheSameNode(t *testing.T) {
	for _, newer := range []bool{true, false} { // which of the two the node keeps
		story(t, func(t *testing.T, m *mesh) {
			alpha, alias, beta := m.node("alpha", "alpha:1"), m.node("alpha", "alias:1"), m.node("beta", "beta:1")
			alpha.policy, alias.policy, beta.policy = true, true, true
			shop := m.server("alpha:1,alias:1")
			p, q := <-alpha.opened, <-alias.opened
			if p.login.GetStamp() != nil { // the first one
				p, q = q, p
			}
			gone, kept := p, q
			if !newer {
				gone, kept = q, p
			}
			synctest.Wait()
			inFlight := shop.ask(t.Context(), "one")
			f := <-p.requests
			gone.goaway(wire.Replaced)
			synctest.Wait()
			p.reply(&f, wire.OK, nil, "done")
			inFlight.wantReply(t, "done")
			<-gone.gone
			select {
			case <-shop.Replaced():
				t.Fatal("the client says that another process has its name: it was itself")
			default:
			}
			shop.wantNodes(t, "alpha")
			time.Sleep(10 * time.Minute)
			shop.wantAlone(t, "no other node is known")
			if n := len(m.dialed()); n != 2 {
				t.Errorf("%d dials: the alias is forgotten", n)
			}
			b := shop.ask(t.Context(), "two")
			f = <-kept.requests
			kept.reply(&f, wire.OK, nil, "done")
			b.wantReply(t, "done")
			kept.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha", "beta")})
			r := <-beta.opened
			if r.login.GetStamp().GetN() != 7 {
				t.Errorf("the login has the stamp %v", r.login.GetStamp())
			}
			shop.wantNodes(t, "alpha", "beta")
			// And now another process has it.
			kept.goaway(wire.Replaced)
			<-shop.Replaced()
			<-r.gone
		})
	}
}

func TestReplacedOnOneOfTwoSessionsEndsBoth(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta", "gamma")
		shop := m.server("alpha:1,beta:1", func(o *Options) { o.Connections = 3 })
		p, q, r := <-town[0].opened, <-town[1].opened, <-town[2].opened
		town[2].set(func() { town[2].down = true })
		r.kill() // and one path is about to look for a node
		wantControl(t, p, wire.KindPolicyOK)
		inFlight := shop.ask(t.Context(), "one")
		synctest.Wait()
		first, other := p, q
		if len(q.requests) == 1 {
			first, other = q, p
		}
		f := <-first.requests
		other.goaway(wire.Replaced)
		<-shop.Replaced()
		synctest.Wait()
		wantError(t, shop.Call(t.Context(), "web.Show", nil, nil), NotExecuted, CodeReplaced)
		first.wantOpen(t)
		first.reply(&f, wire.OK, nil, "done")
		inFlight.wantReply(t, "done")
		<-p.gone
		<-q.gone
		before := len(m.dialed())
		time.Sleep(10 * time.Minute)
		for _, s := range shop.States() {
			if s.Name != StateReplaced || !errors.Is(s.LastError, CodeReplaced) {
				t.Errorf("state is %v", s)
			}
		}
		if n := len(m.dialed()) - before; n != 0 {
			t.Errorf("%d dials after it was replaced", n)
		}
	})
	// The second login is told.
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		town[1].set(func() { town[1].refuse = &pb.Refuse{Code: uint32(wire.Replaced)} })
		shop := m.server("alpha:1")
		p := <-town[0].opened
		<-shop.Replaced()
		<-p.gone
		if err := shop.Refusal(); !errors.Is(err, CodeReplaced) {
			t.Errorf("the refusal is %v", err)
		}
	})
}

func TestBothNodesLostAndBack(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		alpha, beta := town[0], town[1]
		shop := m.server("alpha:1")
		p, q := <-alpha.opened, <-beta.opened
		time.Sleep(time.Minute)
		sent := shop.ask(t.Context(), "sent")
		<-p.requests
		alpha.set(func() { alpha.down, beta.down = true, true })
		from := time.Now()
		p.kill()
		q.kill()
		sent.wantError(t, Unknown, CodeConnectionLost)
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the call ended after %s", waited)
		}
		waiting := shop.ask(t.Context(), "waiting", Timeout(time.Hour))
		time.Sleep(10 * time.Minute)
		shop.wantNodes(t)
		from = time.Now()
		alpha.set(func() { alpha.down, beta.down = false, false })
		p, q = <-alpha.opened, <-beta.opened
		if waited := time.Since(from); waited > backoffNear+spreadNews {
			t.Errorf("both nodes were found after %s", waited)
		}
		var f wire.Frame
		select {
		case f = <-p.requests:
		case f = <-q.requests:
			p = q
		}
		p.reply(&f, wire.OK, nil, "done")
		waiting.wantReply(t, "done")
		shop.wantNodes(t, "alpha", "beta")
	})
}

func TestLossOfOnePathLeavesTheOther(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		shop := m.server("alpha:1")
		p, q := <-town[0].opened, <-town[1].opened
		synctest.Wait()
		// One call is moved to beta, one is in flight on alpha, one does not leave.
		onBeta := shop.ask(t.Context(), "on beta")
		f := <-p.requests
		p.reply(&f, wire.NoRoute, &pb.ResponseHeader{Node: "alpha", Try: []string{"gamma", "beta"}}, "")
		g := <-q.requests
		if g.Attempt != 1 || g.BudgetMS > f.BudgetMS {
			t.Errorf("beta got attempt %d with %d ms, alpha had %d ms", g.Attempt, g.BudgetMS, f.BudgetMS)
		}
		next := shop.ask(t.Context(), "next") // beta is the one to use now
		h := <-q.requests
		q.reply(&h, wire.NoRoute, &pb.ResponseHeader{Node: "beta", Try: []string{"alpha"}}, "")
		<-p.requests
		p.near.FailWriteAfter(10, errors.New("broken pipe"))
		town[0].set(func() { town[0].down = true })
		from := time.Now()
		unsent := shop.ask(t.Context(), "unsent")
		e := next.wantError(t, Unknown, CodeConnectionLost)
		if !strings.Contains(e.Error(), "alpha") {
			t.Errorf("error is %v, want it to name the node", e)
		}
		f = <-q.requests
		if string(f.Body) != "unsent" || time.Since(from) != 0 {
			t.Errorf("beta got %q after %s, want the call that had not left, at once", f.Body, time.Since(from))
		}
		q.reply(&f, wire.OK, nil, "done")
		unsent.wantReply(t, "done")
		q.reply(&g, wire.OK, nil, "done")
		onBeta.wantReply(t, "done")
		q.wantOpen(t)
		shop.wantNodes(t, "beta")
	})
}

// Calls of which each reaches its handler over one of the two nodes only all succeed, whatever the others want.
func TestNoRouteTakesTheOtherSession(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		for i, n := range town {
			other := town[1-i].name
			n.answer = func(p *peer, f *wire.Frame) {
				answer := func() { echo(p, f) }
				if string(f.Body) != p.node.name {
					answer = func() { p.reply(f, wire.NoRoute, &pb.ResponseHeader{Node: p.node.name, Try: []string{other}}, "") }
				}
				time.AfterFunc(rand.N(time.Millisecond), answer)
			}
		}
		shop := m.server("alpha:1")
		<-town[0].opened
		<-town[1].opened
		synctest.Wait()
		var all sync.WaitGroup
		for i := range 1000 {
			if i%10 == 9 {
				time.Sleep(time.Millisecond / 2)
			}
			all.Go(func() {
				if err := shop.Call(t.Context(), "web.Show", []byte(town[i%2].name), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := shop.Stats().Rerouted; n == 0 || n > 1000 {
			t.Errorf("%d calls were sent again, want each at most once", n)
		}
		shop.wantNodes(t, "alpha", "beta")
	})
}

// Two calls that want to go opposite ways at the same moment both get there.
func TestNoRouteOnBothSessionsAtOnce(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		shop := m.server("alpha:1")
		p, q := <-town[0].opened, <-town[1].opened
		synctest.Wait()
		toBeta := shop.ask(t.Context(), "beta's")
		f := <-p.requests
		shop.mu.Lock()
		shop.usable[0], shop.usable[1] = shop.usable[1], shop.usable[0]
		shop.mu.Unlock()
		toAlpha := shop.ask(t.Context(), "alpha's")
		g := <-q.requests
		setFlushing := func(is bool) {
			shop.mu.Lock()
			defer shop.mu.Unlock()
			shop.flushing = is
		}
		setFlushing(true) // neither is sent before both know where to
		p.reply(&f, wire.NoRoute, &pb.ResponseHeader{Node: "alpha", Try: []string{"beta"}}, "")
		synctest.Wait()
		q.reply(&g, wire.NoRoute, &pb.ResponseHeader{Node: "beta", Try: []string{"alpha"}}, "")
		synctest.Wait()
		setFlushing(false)
		f, g = <-p.requests, <-q.requests
		if string(f.Body) != "alpha's" || string(g.Body) != "beta's" {
			t.Errorf("alpha got %q, beta %q", f.Body, g.Body)
		}
		p.reply(&f, wire.OK, nil, "done")
		q.reply(&g, wire.OK, nil, "done")
		toAlpha.wantReply(t, "done")
		toBeta.wantReply(t, "done")
	})
}

func TestCallsWaitForTheSuccessorOfADrainingNode(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		town[1].set(func() { town[1].down = true })
		shop := m.server("alpha:1,beta:1")
		p := <-town[0].opened
		time.Sleep(time.Minute)
		a := shop.ask(t.Context(), "one")
		f := <-p.requests
		town[0].set(func() { town[0].down, town[1].down = true, false })
		p.goaway(wire.Draining, known("beta")...)
		p.reply(&f, wire.Draining, &pb.ResponseHeader{Node: "alpha"}, "") // they cross
		q := <-town[1].opened
		f = <-q.requests
		q.reply(&f, wire.OK, nil, "done")
		a.wantReply(t, "done")
		<-p.gone
	})
}

func TestPathsDoNotDialTheSameAddress(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		for _, n := range m.town("alpha", "beta", "gamma", "delta") {
			n.knows = nil // nobody says whose address is which
		}
		shop := m.server("alpha:1,beta:1,gamma:1,delta:1", func(o *Options) { o.Connections = 4 })
		time.Sleep(time.Minute)
		shop.wantNodes(t, "alpha", "beta", "gamma", "delta")
		if n := len(m.dialed()); n != 4 {
			t.Errorf("%d dials: %v", n, m.dialed())
		}
	})
}

// The newer of two sessions with a node is lost before the older one is told about it.
func TestAliasThatIsLostAtOnce(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha, alias := m.node("alpha", "alpha:1"), m.node("alpha", "alias:1")
		alpha.policy, alias.policy = true, true
		shop := m.server("alpha:1,alias:1")
		p, q := <-alpha.opened, <-alias.opened
		if p.login.GetStamp() != nil {
			p, q = q, p
		}
		synctest.Wait()
		q.kill()
		synctest.Wait()
		p.goaway(wire.Replaced)
		<-p.gone
		select {
		case <-shop.Replaced():
			t.Fatal("the client says that another process has its name: it was itself")
		case <-alpha.opened:
		case <-alias.opened:
		}
		shop.wantNodes(t, "alpha")
	})
}

// A session that would open while the client stops is given up before its node registers it.
func TestNoSessionOpensWhileTheClientStops(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		held := make(chan struct{})
		shop := m.server("alpha:1", func(o *Options) {
			o.Dial = func(ctx context.Context, address string) (netConn, error) {
				if address == "beta:1" {
					<-held
				}
				return m.dial(ctx, address)
			}
		})
		p := <-town[0].opened
		wantControl(t, p, wire.KindPolicyOK)
		synctest.Wait()
		shop.Drain(t.Context())
		close(held)
		q := <-town[1].opened
		<-q.gone
		if n := len(q.control); n != 0 {
			t.Errorf("beta got %d frames after the login: it was told that it may send requests", n)
		}
		wantControl(t, p, wire.KindGoaway)
		p.wantOpen(t) // until Close: handlers may still call
	})
}
