package session

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestWelcomeSaysWhatIsInForce(t *testing.T) {
	story(t, func(n *node) {
		w := n.caller("web").welcome
		want := &pb.Welcome{
			Version: 1, Node: "a", Mesh: "test", Session: 1, Stamp: &pb.Stamp{N: 1, Node: "a"},
			Limits:      &pb.Limits{MaxFrame: 1 << 20, MaxMessage: 16 << 20, MaxInFlight: 1024, MaxHeader: 16 << 10},
			HeartbeatMs: 5000, DeadMs: 12000, Nodes: []*pb.Node{{Name: "a", Address: "a:1"}},
		}
		if !proto.Equal(w, want) {
			t.Errorf("WELCOME %v, want %v", w, want)
		}
		again := loginOf("web", "web-1", pb.Role_ROLE_CALLER)
		again.Stamp = &pb.Stamp{N: 77, Node: "b"}
		if w := n.login(again, testkit.PipeOptions{}).welcome; !proto.Equal(w.GetStamp(), again.GetStamp()) || w.GetSession() == 1 {
			t.Errorf("WELCOME %v, want the stamp that was brought and another session", w)
		}
		if w := n.caller("next").welcome; w.GetStamp().GetN() != 78 {
			t.Errorf("stamp %v after one of 77 was seen, want a greater one", w.GetStamp())
		}
		again.Stamp.N = 1<<63 - 1
		if w := n.login(again, testkit.PipeOptions{}).welcome; w.GetStamp().GetN() != 79 {
			t.Errorf("stamp %v, want one of this node: nobody can have brought the greatest", w.GetStamp())
		}
	}, func(o *Options) { o.Nodes = func() []*pb.Node { return []*pb.Node{{Name: "a", Address: "a:1"}} } })
}

// TestAServerIsRegisteredWhenPolicyAndMethodsStand brings both in either order.
func TestAServerIsRegisteredWhenPolicyAndMethodsStand(t *testing.T) {
	policyOK := header(wire.KindPolicyOK, &pb.PolicyOk{})
	methods := header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "Move"}}})
	for name, steps := range map[string][]wire.Frame{"policy first": {policyOK, methods}, "methods first": {methods, policyOK}} {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				caller := n.caller("web")
				server := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER), testkit.PipeOptions{})
				server.want(wire.KindPolicy)
				for _, step := range steps {
					caller.send(request(1, "pay.Move"))
					caller.wantAnswer(1, wire.NoModule)
					server.send(step)
					synctest.Wait()
				}
				caller.send(request(2, "pay.Move"))
				server.answer(server.wantRequest(), wire.OK, "")
				caller.wantAnswer(2, wire.OK)
				// What is missing in a later report is no longer there.
				server.send(header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "Other"}}}))
				synctest.Wait()
				caller.send(request(3, "pay.Move"))
				caller.wantAnswer(3, wire.Unimplemented)
			})
		})
	}
}

func TestRoleBothCallsAndIsCalled(t *testing.T) {
	story(t, func(n *node) {
		both := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_BOTH, "Move"), testkit.PipeOptions{})
		both.ready()
		both.send(request(5, "pay.Move"))
		both.answer(both.wantRequest(), wire.OK, "to myself")
		if a := both.wantAnswer(5, wire.OK); string(a.Body) != "to myself" {
			t.Errorf("answer %q", a.Body)
		}
	})
}

// TestNothingGoesBeforeWelcome pipelines what may come after it.
func TestNothingGoesBeforeWelcome(t *testing.T) {
	story(t, func(n *node) {
		m := n.connect(testkit.PipeOptions{})
		login := header(wire.KindLogin, loginOf("pay", "pay-1", pb.Role_ROLE_BOTH, "Move"))
		policyOK, call := header(wire.KindPolicyOK, &pb.PolicyOk{}), request(1, "pay.Move")
		m.write(call.Append(policyOK.Append(login.Append([]byte(wire.Preface)))))
		m.wantWelcome()
		m.want(wire.KindPolicy)
		m.answer(m.wantRequest(), wire.OK, "")
		m.wantAnswer(1, wire.OK)
	})
}

// TestLoginWhileTheNodeDrains begins to drain at each step of a login.
func TestLoginWhileTheNodeDrains(t *testing.T) {
	drain := func(n *node) (over func()) {
		done := make(chan struct{})
		go func() { n.sessions.Drain(10 * time.Second); close(done) }()
		synctest.Wait()
		return func() { <-done }
	}
	keys := func(o *Options) { o.Keys = map[string]ModuleKeys{"web": {1: webSecret}} }
	t.Run("before the connection", func(t *testing.T) {
		story(t, func(n *node) {
			drain(n)()
			n.connect(testkit.PipeOptions{}).wantClosed()
		})
	})
	t.Run("before LOGIN", func(t *testing.T) {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			synctest.Wait()
			over := drain(n)
			m.write([]byte(wire.Preface))
			m.send(header(wire.KindLogin, loginOf("web", "web-1", pb.Role_ROLE_CALLER)))
			m.wantRefuse(wire.Draining)
			over()
		})
	})
	t.Run("before PROOF", func(t *testing.T) {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			m.write([]byte(wire.Preface))
			client := newLoginClient(t, "web", webSecret, 1)
			m.send(client.login())
			proof := client.proof(m.want(wire.KindChallenge))
			over := drain(n)
			m.send(proof)
			m.wantWelcome()
			m.wantCode(wire.KindGoaway, wire.Draining)
			m.leave()
			over()
		}, keys)
	})
}
