package session

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

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
	final, err := c.scram.Final(m.GetScramServerFirst())
	if err != nil {
		c.t.Fatal(err)
	}
	return header(wire.KindProof, &pb.Proof{ScramClientFinal: final})
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
					if r := m.wantRefuse(c.want); r.GetMessage() != "unknown module, or wrong secret" {
						t.Errorf("REFUSE says %q, want the same to all", r.GetMessage())
					}
					return
				}
				m.wantWelcome()
				if err := client.scram.Verify(m.welcome.GetScramServerFinal()); err != nil {
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
