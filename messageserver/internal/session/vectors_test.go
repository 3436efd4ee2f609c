package session

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// golden reads the vectors of a file that every implementation has to agree with.
func golden[V any](t testing.TB, file string) []V {
	t.Helper()
	b, err := os.ReadFile("../../../proto/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Vectors []V `json:"vectors"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Vectors) == 0 {
		t.Fatalf("%s has no vectors", file)
	}
	return all.Vectors
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func codeNamed(t testing.TB, name string) wire.Code {
	t.Helper()
	for _, c := range wire.Codes() {
		if c.String() == name {
			return c
		}
	}
	t.Fatalf("no code has the name %q", name)
	return 0
}

func TestVectorsOfPrefixes(t *testing.T) {
	for _, v := range golden[struct{ Name, Hex, Code, Effect string }](t, "prefixes.json") {
		b := unhex(t, v.Hex)
		if _, _, err := wire.Decode(b, wire.MaxFrame); err != nil {
			t.Fatal(err)
		}
		t.Run(v.Name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.login(loginOf("web", "web-1", pb.Role_ROLE_BOTH, "Move"), testkit.PipeOptions{})
				m.ready()
				m.write(b)
				switch v.Effect {
				case "closes":
					m.wantGoaway(codeNamed(t, v.Code))
				case "answered":
					m.wantAnswer(1, codeNamed(t, v.Code))
					m.wantPong()
				case "skipped":
					m.wantPong()
				case "taken": // its header may still be refused
				default:
					t.Fatalf("effect %q", v.Effect)
				}
			})
		})
	}
}

func TestVectorsOfRequests(t *testing.T) {
	story(t, func(n *node) {
		m := n.caller("web")
		for _, v := range golden[struct{ Name, By, Header, Code string }](t, "requests.json") {
			if v.By != "module" {
				continue
			}
			m.send(wire.Frame{Kind: wire.KindRequest, CallID: 7, Header: unhex(t, v.Header)})
			f := m.want(wire.KindResponse)
			if want := codeNamed(t, v.Code); want != wire.OK && f.Status != want {
				t.Errorf("%s: %s, want %s", v.Name, describe(f), want)
			} else if want == wire.OK && (f.Status == wire.BadRequest || f.Status == wire.TooLarge) {
				t.Errorf("%s: %s, but it is well formed", v.Name, describe(f))
			}
		}
	})
}

func TestVectorsOfOptions(t *testing.T) {
	type vector struct {
		Name, Header, Code, Rule string
		Flags                    wire.Flags
		Hops                     uint8
		CallID                   uint64 `json:"call_id,string"`
		RPCID                    uint64 `json:"rpc_id,string"`
	}
	story(t, func(n *node) {
		m := n.caller("web")
		for _, v := range golden[vector](t, "options.json") {
			if v.Flags&wire.FlagMore != 0 {
				continue // parts.json
			}
			want := codeNamed(t, v.Code)
			before := n.router.Counters().OneWayRefused[want].Load()
			m.send(wire.Frame{
				Kind: wire.KindRequest, Flags: v.Flags, CallID: v.CallID, RPCID: v.RPCID, Hops: v.Hops, Header: unhex(t, v.Header),
			})
			if v.Flags&wire.FlagOneWay != 0 || v.CallID == 0 {
				m.wantSilence()
				if got := n.router.Counters().OneWayRefused[want].Load() - before; want != wire.OK && got != 1 {
					t.Errorf("%s: %d are counted as refused with %s", v.Name, got, want)
				}
				continue
			}
			f := m.want(wire.KindResponse)
			if want != wire.OK && f.Status != want || want == wire.OK && (f.Status == wire.BadOption || f.Status == wire.BadRequest) {
				t.Errorf("%s: %s, want %s (%s)", v.Name, describe(f), want, v.Rule)
			}
		}
	})
}

func TestVectorsOfResponses(t *testing.T) {
	type vector struct {
		Name, Header, Code string
		Status             wire.Code
		PassedOn           wire.Code `json:"passed_on"`
		Whole              bool
	}
	story(t, func(n *node) {
		server, m := n.server("pay", "pay-1", "Move"), n.caller("web")
		for _, v := range golden[vector](t, "responses.json") {
			head := unhex(t, v.Header)
			if len(head) > wire.MaxHeader {
				continue // prefixes.json: it ends the session
			}
			m.send(request(1, "pay.Move"))
			server.send(wire.Frame{
				Kind: wire.KindResponse, CallID: server.wantRequest().CallID, Status: v.Status, Header: head, Body: []byte("body"),
			})
			want := v.PassedOn
			if want == wire.StaleRoute {
				want = wire.NoInstance // a node's word to nodes: there is no other instance
			}
			f := m.wantAnswer(1, want)
			switch {
			case v.Whole && v.PassedOn == want && (!bytes.Equal(f.Header[:min(len(head), len(f.Header))], head) || string(f.Body) != "body"):
				if want.Class() != wire.Unknown || len(head) > 0 {
					t.Errorf("%s: %s, want all of it", v.Name, describe(f))
				}
			case !v.Whole && (len(f.Body) != 0 || len(head) > 0 && bytes.HasPrefix(f.Header, head)):
				t.Errorf("%s: %s, want neither header nor body", v.Name, describe(f))
			}
		}
	})
}

func TestVectorsOfLogins(t *testing.T) {
	for _, v := range golden[struct{ Name, Login, Code string }](t, "logins.json") {
		t.Run(v.Name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.connect(testkit.PipeOptions{})
				m.write([]byte(wire.Preface))
				login := wire.Frame{Kind: wire.KindLogin, Header: unhex(t, v.Login)}
				m.send(login)
				var l pb.Login
				code := codeNamed(t, v.Code)
				switch {
				case code != wire.OK:
					m.wantRefuse(code)
				case len(wire.Preface)+login.Size() > wire.LoginLimit:
					m.wantRefuse(wire.BadRequest)
				case proto.Unmarshal(login.Header, &l) == nil && l.GetVersionMin() > wire.Version:
					m.wantRefuse(wire.Unimplemented) // nothing else is wrong with it
				default:
					m.wantWelcome()
				}
			})
		})
	}
}

func TestVectorsOfVersions(t *testing.T) {
	for _, v := range golden[struct {
		Min, Max, Version uint32
		Code              string
	}](t, "versions.json") {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			m.write([]byte(wire.Preface))
			login := loginOf("web", "web-1", pb.Role_ROLE_CALLER)
			login.VersionMin, login.VersionMax = v.Min, v.Max
			m.send(header(wire.KindLogin, login))
			if code := codeNamed(t, v.Code); code != wire.OK {
				m.wantRefuse(code)
				return
			}
			if m.wantWelcome(); m.welcome.GetVersion() != v.Version {
				t.Errorf("version %d, want %d", m.welcome.GetVersion(), v.Version)
			}
		})
	}
}
