package session

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/scram"
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
		if w := n.login(again, testkit.PipeOptions{}).welcome; !proto.Equal(w.Stamp, again.Stamp) || w.Session == 1 {
			t.Errorf("WELCOME %v, want the stamp that was brought and another session", w)
		}
		if w := n.caller("next").welcome; w.Stamp.N != 78 {
			t.Errorf("stamp %v after one of 77 was seen, want a greater one", w.Stamp)
		}
		again.Stamp.N = 1<<63 - 1
		if w := n.login(again, testkit.PipeOptions{}).welcome; w.Stamp.N != 79 {
			t.Errorf("stamp %v, want one of this node: nobody can have brought the greatest", w.Stamp)
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

func TestLoginWithSecret(t *testing.T) {
	keys := func(o *Options) {
		o.Keys = map[string]ModuleKeys{"web": {1: webSecret, 2: webSecret2}, "pay": {0: "pay's secret without an id"}}
	}
	for _, c := range []struct {
		name, user, secret string
		key                uint32
		want               wire.Code
	}{
		{"the first key", "web", webSecret, 1, wire.OK},
		{"the second key", "web", webSecret2, 2, wire.OK},
		{"no key id", "pay", "pay's secret without an id", 0, wire.OK},
		{"wrong secret", "web", "not web's secret", 1, wire.Unauthenticated},
		{"secret of the other key", "web", webSecret, 2, wire.Unauthenticated},
		{"unknown key", "web", webSecret, 3, wire.Unauthenticated},
		{"no key id where there are two", "web", webSecret, 0, wire.Unauthenticated},
		{"unknown module", "wob", webSecret, 1, wire.Unauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.connect(testkit.PipeOptions{})
				m.write([]byte(wire.Preface))
				client := newLoginClient(t, c.user, c.secret, c.key)
				m.send(client.login())
				m.send(client.proof(m.want(wire.KindChallenge)))
				if c.want != wire.OK {
					if r := m.wantRefuse(c.want); r.Message != "unknown module, or wrong secret" {
						t.Errorf("REFUSE says %q, want the same to all", r.Message)
					}
					return
				}
				m.wantWelcome()
				if err := client.scram.Verify(m.welcome.ScramServerFinal); err != nil {
					t.Error(err)
				}
			}, keys)
		})
	}
}

// TestUnknownAndWrongLookAlike compares what a node says to a module that it does not know, and to one with a wrong secret.
func TestUnknownAndWrongLookAlike(t *testing.T) {
	said := func(user string) (frames []wire.Frame) {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			m.write([]byte(wire.Preface))
			client := newLoginClient(t, user, "a guess", 1)
			m.send(client.login())
			challenge := m.want(wire.KindChallenge)
			m.send(client.proof(challenge))
			frames = []wire.Frame{challenge, m.wantCode(wire.KindRefuse, wire.Unauthenticated)}
		}, func(o *Options) { o.Keys = map[string]ModuleKeys{"web": {1: webSecret}} })
		return frames
	}
	known, unknown := said("web"), said("wob")
	if len(known[0].Header) != len(unknown[0].Header) || !bytes.Equal(known[1].Header, unknown[1].Header) {
		t.Errorf("known: %s, %s\nunknown: %s, %s", describe(known[0]), describe(known[1]), describe(unknown[0]), describe(unknown[1]))
	}
}

func TestBrokenLoginsWithSecret(t *testing.T) {
	keys := func(o *Options) { o.Keys = map[string]ModuleKeys{"web": {1: webSecret}} }
	client := func() *loginClient { return newLoginClient(t, "web", webSecret, 1) }
	first := func(text string) func(m *module) {
		return func(m *module) {
			l := loginOf("web", "web-1", pb.Role_ROLE_CALLER)
			l.ScramClientFirst = []byte(text)
			m.send(header(wire.KindLogin, l))
		}
	}
	final := func(text string) func(m *module) {
		return func(m *module) {
			m.send(client().login())
			m.want(wire.KindChallenge)
			m.send(header(wire.KindProof, &pb.Proof{ScramClientFinal: []byte(text)}))
		}
	}
	for name, c := range map[string]struct {
		do   func(m *module)
		want wire.Code
	}{
		"no secret":                    {first(""), wire.Unauthenticated},
		"garbage for a first message":  {first("\x00\xff\r\n"), wire.Unauthenticated},
		"another user":                 {first("n,,n=pay,r=01234567890123456789012345"), wire.Unauthenticated},
		"a user that is not to be had": {first("n,,n=,r=01234567890123456789012345"), wire.Unauthenticated},
		"a short nonce":                {first("n,,n=web,r=0"), wire.Unauthenticated},
		"no proof":                     {final(""), wire.Unauthenticated},
		"garbage for a proof":          {final("c=biws,r=\x00,p=!"), wire.Unauthenticated},
		"LOGIN that is no message":     {func(m *module) { m.send(wire.Frame{Kind: wire.KindLogin, Header: []byte{0xff}}) }, wire.BadRequest},
		"LOGIN that is not UTF-8": {func(m *module) {
			m.send(wire.Frame{Kind: wire.KindLogin, Header: []byte{4<<3 | 2, 1, 0xff}})
		}, wire.BadRequest},
		"PROOF that is no message": {func(m *module) {
			m.send(client().login())
			m.want(wire.KindChallenge)
			m.send(wire.Frame{Kind: wire.KindProof, Header: []byte{0xff}})
		}, wire.BadRequest},
		"a proof that was good once": {func(m *module) {
			once := m.n.connect(testkit.PipeOptions{})
			once.write([]byte(wire.Preface))
			c := client()
			login := c.login()
			once.send(login)
			proof := c.proof(once.want(wire.KindChallenge))
			once.send(proof)
			once.wantWelcome()
			m.send(login)
			m.want(wire.KindChallenge)
			m.send(proof)
		}, wire.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.connect(testkit.PipeOptions{})
				m.write([]byte(wire.Preface))
				c.do(m)
				m.wantRefuse(c.want)
				honest, client := n.connect(testkit.PipeOptions{}), client()
				honest.write([]byte(wire.Preface))
				honest.send(client.login())
				honest.send(client.proof(honest.want(wire.KindChallenge)))
				honest.wantWelcome()
			}, keys)
		})
	}
}

func TestSecretsAreDerivedAtTheStart(t *testing.T) {
	if _, err := New(Options{Keys: map[string]ModuleKeys{"web": {1: ""}}}); err == nil {
		t.Error("an empty secret is taken")
	}
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

const (
	webSecret  = "web's secret, the first"
	webSecret2 = "web's secret, the second"
)

// loginClient is a module's side of a login with a secret.
type loginClient struct {
	t     testing.TB
	name  string
	key   uint32
	scram *scram.Client
}

func newLoginClient(t testing.TB, user, secret string, key uint32) *loginClient {
	t.Helper()
	c, err := scram.NewClient(user, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &loginClient{t: t, name: user, key: key, scram: c}
}

func (c *loginClient) login() wire.Frame {
	c.t.Helper()
	l := loginOf(c.name, c.name+"-1", pb.Role_ROLE_CALLER)
	l.KeyId = c.key
	var err error
	if l.ScramClientFirst, err = c.scram.First(); err != nil {
		c.t.Fatal(err)
	}
	return header(wire.KindLogin, l)
}

func (c *loginClient) proof(challenge wire.Frame) wire.Frame {
	c.t.Helper()
	m := &pb.Challenge{}
	if err := proto.Unmarshal(challenge.Header, m); err != nil {
		c.t.Fatal(err)
	}
	final, err := c.scram.Final(m.ScramServerFirst)
	if err != nil {
		c.t.Fatal(err)
	}
	return header(wire.KindProof, &pb.Proof{ScramClientFinal: final})
}
