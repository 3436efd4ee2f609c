package rpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

// governed is a connection to a node whose every POLICY is another one: what the node itself would refuse gets to the server.
type governed struct {
	net.Conn

	policy wire.Frame
	in     []byte // read, and not a whole frame yet
	out    []byte // to be given
}

func (g *governed) Read(p []byte) (int, error) {
	for len(g.out) == 0 {
		room := make([]byte, 64<<10)
		n, err := g.Conn.Read(room)
		if err != nil {
			return 0, err
		}
		g.in = append(g.in, room[:n]...)
		for {
			f, size, err := wire.Decode(g.in, wire.MaxFrame+wire.NodeExtra)
			if err != nil {
				break // there is more to come
			}
			if f.Kind == wire.KindPolicy {
				f = g.policy
			}
			g.out = f.Append(g.out)
			g.in = g.in[size:]
		}
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	return n, nil
}

// startPair runs two nodes of one mesh.
func startPair(t *testing.T) (a, b string) {
	t.Helper()
	var members []messageserver.Member
	var peers []net.Listener
	for i, name := range []string{"a", "b"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, l)
		members = append(members, messageserver.Member{Node: name, Number: i + 1, Address: l.Addr().String()})
	}
	var addresses []string
	for i, m := range members {
		address, _ := startNode(t, "127.0.0.1:0", func(o *messageserver.Options) {
			o.Node, o.Number, o.DataDir = m.Node, m.Number, t.TempDir()
			o.Peers.Members, o.Peers.Listener = members, peers[i]
		})
		addresses = append(addresses, address)
	}
	return addresses[0], addresses[1]
}

// wantRefused calls until the call gets as far as an instance, and wants it refused by a rule.
func wantRefused(t *testing.T, c *rpcclient.Client, method string, code rpcclient.Code, rule string, version uint64) *rpcclient.Error {
	t.Helper()
	for {
		_, err := c.CallRaw(t.Context(), method, []byte("x"))
		e := rpcclient.AsError(err)
		if e == nil {
			t.Fatalf("%s answers, want %s", method, code)
		}
		switch e.Code {
		case rpcclient.CodeNoModule, rpcclient.CodeNoInstance, rpcclient.CodeNoRoute:
			continue
		}
		if e.Code != code || e.RuleID != rule || e.RuleVersion != version || !errors.Is(e, rpcclient.ErrNotExecuted) || e.Node != "" {
			t.Fatalf("%s: %+v, want %s by %s version %d", method, e, code, rule, version)
		}
		return e
	}
}

// TestServersRefusalsReachTheCaller, whole, over one node and two.
func TestServersRefusalsReachTheCaller(t *testing.T) {
	a, b := startPair(t)
	policy, err := wire.PolicyFrame(&pb.Policy{Epoch: 1 << 60, Version: 9, Restrictions: []*pb.Restriction{
		{RuleId: "off", Method: "Off", Kind: &pb.Restriction_Off{Off: &pb.Off{FallbackBody: []byte(`{"cached":1}`), FallbackType: "application/json"}}},
		{RuleId: "fence", Method: "Fenced", Kind: &pb.Restriction_Addresses{Addresses: &pb.Addresses{DenyCidr: []string{"127.0.0.0/8"}}}},
		{RuleId: "slow", Method: "Slow", Kind: &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: 0.01, Burst: 1}}},
		{RuleId: "key", Method: "Locked", Kind: &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: []*pb.Key{{KeyId: 3, Secret: []byte("geheim")}}}}},
		{RuleId: "test", Caller: "test", Shadow: true, Kind: &pb.Restriction_Off{Off: &pb.Off{}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := serve(t, rpcserver.Options{
		Module: "shop", Addresses: []string{a}, Connections: 1,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			return &governed{Conn: c, policy: policy}, nil
		},
	}, func(s *rpcserver.Server) {
		for _, name := range []string{"Off", "Fenced", "Slow", "Locked", "Free"} {
			rpcserver.HandleRaw(s, name, echo)
		}
	})
	near, far := dial(t, a, "near"), dial(t, b, "far")
	for _, c := range []*rpcclient.Client{near, far} {
		if e := wantRefused(t, c, "shop.Off", rpcclient.CodeDegraded, "off", 9); string(e.Fallback) != `{"cached":1}` || e.FallbackType != "application/json" {
			t.Errorf("the fallback is %q, %q", e.Fallback, e.FallbackType)
		}
		wantRefused(t, c, "shop.Fenced", rpcclient.CodeDenied, "fence", 9)
		wantRefused(t, c, "shop.Locked", rpcclient.CodeBadDigest, "key", 9)
		for _, wrong := range []rpcclient.CallOption{rpcclient.Password(3, "anders"), rpcclient.Password(4, "geheim")} {
			if _, err := c.CallRaw(t.Context(), "shop.Locked", []byte("x"), wrong); !errors.Is(err, rpcclient.CodeBadDigest) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("a wrong password: %v", err)
			}
		}
		for range 3 { // a nonce for each
			if body, err := c.CallRaw(t.Context(), "shop.Locked", []byte("x"), rpcclient.Password(3, "geheim")); err != nil || string(body) != "x" {
				t.Errorf("the password: %q, %v", body, err)
			}
		}
	}
	if _, err := near.CallRaw(t.Context(), "shop.Slow", nil); err != nil {
		t.Error(err)
	}
	if e := wantRefused(t, far, "shop.Slow", rpcclient.CodeRateLimited, "slow", 9); e.RetryAfter < 90*time.Second || e.RetryAfter > 100*time.Second {
		t.Errorf("come back after %v, want 100 s", e.RetryAfter)
	}
	if body, err := dial(t, a, "test").CallRaw(t.Context(), "shop.Free", []byte("x")); err != nil || string(body) != "x" {
		t.Errorf("a rule in shadow: %q, %v", body, err)
	}
	if st := s.Stats(); st.Degraded != 2 || st.Denied != 2 || st.BadDigest != 6 || st.RateLimited != 1 || st.Shadowed != 1 {
		t.Errorf("stats are %+v", st)
	}
}

const rulesOfShop = `
format: 1
rules:
  - id: door
    module: shop
    method: Locked
    password:
      keys:
        - {key_id: 1, secret: a-secret-of-enough-bytes}
  - id: slow
    module: shop
    method: Slow
    rate: {per_second: 0.01, burst: 1, per: instance}
`

// TestRulesOfOperatorsAreEnforcedNextToTheHandler: from the document to the instance, and a server that calls another one.
func TestRulesOfOperatorsAreEnforcedNextToTheHandler(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(rulesOfShop), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	address, stopNode := startNode(t, "127.0.0.1:0", func(o *messageserver.Options) {
		o.DataDir, o.Rules.WatchFile, o.Log = filepath.Join(dir, "data"), file, slog.New(slog.NewTextHandler(&log, nil))
	})
	s, _ := serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Locked", echo)
		rpcserver.HandleRaw(s, "Slow", echo)
	})
	serve(t, rpcserver.Options{Module: "front", Addresses: []string{address}, Needs: []string{"shop"}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Open", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			return s.Client().CallRaw(ctx, "shop.Locked", r.Body, rpcserver.Password(1, "a-secret-of-enough-bytes"))
		})
	})
	alice := dial(t, address, "web")
	for { // until the rules are in force
		if _, err := alice.CallRaw(t.Context(), "shop.Locked", nil); err != nil {
			if e := rpcclient.AsError(err); e.Code != rpcclient.CodeBadDigest || e.RuleID != "door" || e.RuleVersion == 0 {
				t.Fatalf("%+v", e)
			}
			break
		}
	}
	if body, err := alice.CallRaw(t.Context(), "front.Open", []byte("x")); err != nil || string(body) != "x" {
		t.Errorf("a server with the password: %q, %v", body, err)
	}
	if _, err := alice.CallRaw(t.Context(), "shop.Slow", nil); err != nil {
		t.Error(err)
	}
	_, err := alice.CallRaw(t.Context(), "shop.Slow", nil)
	if e := rpcclient.AsError(err); e == nil || e.Code != rpcclient.CodeRateLimited || e.RuleID != "slow" || e.RetryAfter == 0 {
		t.Errorf("%+v", e)
	}
	if st := s.Stats(); st.RateLimited != 1 || st.BadDigest == 0 {
		t.Errorf("stats are %+v", st)
	}
	stopNode()
	if strings.Contains(log.String(), "a-secret-of-enough") {
		t.Error("the password is in the node's log")
	}
}
