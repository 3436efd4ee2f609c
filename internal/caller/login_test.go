package caller

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

type netConn = net.Conn

func unmarshal(b []byte, m proto.Message) error { return proto.Unmarshal(b, m) }

func directory(t *testing.T, module, secret string) *scram.Directory {
	t.Helper()
	credentials, err := scram.Derive(secret, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &scram.Directory{
		Lookup: func(user, _ string) (scram.Credentials, bool) { return credentials, user == module },
		Secret: []byte(strings.Repeat("x", 32)),
	}
}

func TestLoginWithSecret(t *testing.T) {
	for _, c := range []struct {
		name, secret string
		asks, forged bool
		want         string // in the last error; "" for a session
	}{
		{"right", "correct horse", true, false, ""},
		{"wrong", "battery staple", true, false, "UNAUTHENTICATED"},
		{"none where one is asked for", "", true, false, "UNAUTHENTICATED"},
		{"the node proves nothing", "correct horse", true, true, "scram"},
		{"the node asks for nothing", "correct horse", false, false, "has not proved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			story(t, func(t *testing.T, m *mesh) {
				alpha := m.node("alpha", "alpha:1")
				if c.asks {
					alpha.directory = directory(t, "web", "correct horse")
				}
				alpha.forged = c.forged
				alice := m.client("alpha:1", func(o *Options) { o.Secret = c.secret })
				synctest.Wait()
				s := alice.States()[0]
				if c.want == "" {
					if s.Name != StateOpen {
						t.Errorf("state is %v", s)
					}
					return
				}
				if s.Name != StateWaiting || s.LastError == nil || !strings.Contains(s.LastError.Error(), c.want) {
					t.Errorf("state is %v, want an error with %q", s, c.want)
				}
				if strings.Contains(fmt.Sprint(s), "horse") {
					t.Errorf("%v shows the secret", s)
				}
			})
		})
	}
}

func TestStampAndUUIDStay(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		m.client("alpha:1")
		first := <-alpha.opened
		synctest.Wait()
		first.kill()
		second := <-alpha.opened
		a, b := first.login, second.login
		if a.GetStamp() != nil || b.GetStamp().GetN() != 7 || b.GetStamp().GetNode() != "alpha" {
			t.Errorf("stamps are %v, then %v", a.GetStamp(), b.GetStamp())
		}
		if a.GetInstanceUuid() == "" || a.GetInstanceUuid() != b.GetInstanceUuid() || a.GetInstance() == "" || a.GetInstance() != b.GetInstance() {
			t.Errorf("the process logged in as %v, then as %v", a, b)
		}
		if err := wire.CheckLogin(b); err != nil {
			t.Error(err)
		}
	})
}

func TestMethodsAreReported(t *testing.T) {
	many := make([]*pb.Method, 500)
	for i := range many {
		many[i] = &pb.Method{Name: fmt.Sprintf("Method%d", i)}
	}
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.policy = true
		bob := m.client("alpha:1", func(o *Options) {
			o.Server = idleServer{}
			o.Login.Role = pb.Role_ROLE_SERVER
		})
		if err := bob.SetMethods([]*pb.Method{{Name: "Say"}}, 1); err != nil {
			t.Fatal(err)
		}
		p := <-alpha.opened
		wantControl(t, p, wire.KindPolicyOK)
		if err := bob.SetMethods([]*pb.Method{{Name: "Say"}, {Name: "Sing"}}, 3); err != nil {
			t.Fatal(err)
		}
		if err := bob.SetMethods([]*pb.Method{{Name: "Say"}}, 2); err != nil { // older
			t.Fatal(err)
		}
		var methods pb.Methods
		for len(methods.GetMethods()) != 2 {
			f := wantControl(t, p, wire.KindMethods)
			if err := proto.Unmarshal(f.Header, &methods); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := len(p.control); n != 0 {
			t.Errorf("%d frames came that say nothing new", n)
		}
		if err := bob.SetMethods(many, 4); err != nil {
			t.Fatal(err)
		}
		wantControl(t, p, wire.KindMethods)
		p.kill()
		p = <-alpha.opened
		if n := len(p.login.GetMethods()); n != 0 {
			t.Errorf("LOGIN has %d methods, they do not fit", n)
		}
		if err := proto.Unmarshal(wantControl(t, p, wire.KindMethods).Header, &methods); err != nil || len(methods.GetMethods()) != 500 {
			t.Errorf("%d methods came after WELCOME, %v", len(methods.GetMethods()), err)
		}
	})
}

func wantControl(t *testing.T, p *peer, kind wire.Kind) wire.Frame {
	t.Helper()
	f := <-p.control
	if f.Kind != kind {
		t.Fatalf("the node got %v, want %v", f.Kind, kind)
	}
	return f
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"no address":     {Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}},
		"bad address":    {Addresses: []string{"alpha"}, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}},
		"no socket":      {Addresses: []string{"unix:"}, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}},
		"no module":      {Addresses: []string{"alpha:1"}},
		"bad instance":   {Addresses: []string{"alpha:1"}, Login: &pb.Login{Module: "web", Instance: "a b", Role: pb.Role_ROLE_CALLER}},
		"negative limit": {Addresses: []string{"alpha:1"}, Timeout: -time.Second, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
	o := Options{Addresses: []string{"a:1, unix:/run/x", "b:2"}, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER}}
	if err := o.resolve(); err != nil || len(o.Addresses) != 3 || o.Addresses[1] != "unix:/run/x" {
		t.Errorf("addresses are %q, %v", o.Addresses, err)
	}
}

func TestSecretMayBeRefusedLocally(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		m.node("alpha", "alpha:1")
		alice := m.client("alpha:1", func(o *Options) { o.Secret = "caf\u00e9" })
		synctest.Wait()
		if err := alice.States()[0].LastError; err == nil || errors.Is(err, ErrClosed) {
			t.Errorf("last error is %v", err)
		}
	})
}

// idleServer takes everything and does nothing.
type idleServer struct{}

func (idleServer) Request(*Session, *wire.Frame)      {}
func (idleServer) Cancel(*Session, uint64, wire.Code) {}
func (idleServer) Policy(*Session, *pb.Policy) error  { return nil }
func (idleServer) BatchEnd(*Session)                  {}
func (idleServer) Lost(*Session)                      {}
