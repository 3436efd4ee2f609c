package rpcserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// govern sends a POLICY of epoch 2 and waits until it is acknowledged.
func (l *link) govern(version uint64, restrictions ...*pb.Restriction) {
	l.node.t.Helper()
	f, err := wire.PolicyFrame(&pb.Policy{Epoch: 2, Version: version, Restrictions: restrictions})
	if err != nil {
		l.node.t.Fatal(err)
	}
	l.send(frameconn.Control, &f)
	if got := <-l.node.opened; got != l {
		l.node.t.Fatal("another session has acknowledged")
	}
}

// on makes a restriction of one method and all callers; edit changes it.
func on(id, method string, edit ...func(*pb.Restriction)) *pb.Restriction {
	r := &pb.Restriction{RuleId: id, Method: method}
	for _, e := range edit {
		e(r)
	}
	return r
}

func off(body, kind string) func(*pb.Restriction) {
	return func(r *pb.Restriction) {
		r.Kind = &pb.Restriction_Off{Off: &pb.Off{FallbackBody: []byte(body), FallbackType: kind}}
	}
}

func from(allow, deny string) func(*pb.Restriction) {
	return func(r *pb.Restriction) {
		r.Kind = &pb.Restriction_Addresses{Addresses: &pb.Addresses{AllowCidr: strings.Fields(allow), DenyCidr: strings.Fields(deny)}}
	}
}

func locked(keys ...*pb.Key) func(*pb.Restriction) {
	return func(r *pb.Restriction) { r.Kind = &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: keys}} }
}

func limited(perSecond, burst float64) func(*pb.Restriction) {
	return func(r *pb.Restriction) {
		r.Kind = &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: perSecond, Burst: burst}}
	}
}

func late(l pb.Late) func(*pb.Restriction) {
	return func(r *pb.Restriction) { r.Kind = &pb.Restriction_Late{Late: l} }
}

func calledBy(name string) func(*pb.Restriction) { return func(r *pb.Restriction) { r.Caller = name } }

func shadow(r *pb.Restriction) { r.Shadow = true }

// wantRule wants a refusal that names the rule.
func (q *question) wantRule(status wire.Code, id string, version uint64) *pb.ResponseHeader {
	q.link.node.t.Helper()
	_, h := q.want(status)
	if h.GetRuleId() != id || h.GetRuleVersion() != version {
		q.link.node.t.Fatalf("%v names rule %q version %d, want %q version %d", status, h.GetRuleId(), h.GetRuleVersion(), id, version)
	}
	return h
}

func echoes(s *Server) {
	HandleRaw(s, "Echo", func(_ context.Context, r *Request) ([]byte, error) { return bytes.Clone(r.Body), nil })
	HandleRaw(s, "Other", func(_ context.Context, r *Request) ([]byte, error) { return bytes.Clone(r.Body), nil }, AllowLate())
	HandleRaw(s, "Inline", func(_ context.Context, r *Request) ([]byte, error) { return bytes.Clone(r.Body), nil }, Inline())
}

func invoker(module, ip string) func(*wire.Frame, *pb.RequestHeader) {
	return func(_ *wire.Frame, h *pb.RequestHeader) { h.InvokerModule, h.InvokerIp = module, ip }
}

func TestOff(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(7, on("r1", "Echo", off(`{"cached":1}`, "application/json")), on("r2", "Inline", off("", "text/plain"), calledBy("web")))
		q := l.ask("Echo", "x")
		body, h := q.want(wire.Degraded)
		if body != `{"cached":1}` || h.GetContentType() != "application/json" || h.GetRuleId() != "r1" || h.GetRuleVersion() != 7 || h.GetNode() != "" {
			t.Errorf("the answer is %q with %v", body, h)
		}
		if h := l.ask("Inline", "x").wantRule(wire.Degraded, "r2", 7); h.GetContentType() != "" {
			t.Errorf("nothing has the content type %q", h.GetContentType())
		}
		l.ask("Inline", "x", invoker("mail", "10.0.0.1")).wantBody("x")
		l.ask("Other", "x").wantBody("x")
		l.ask("Echo", "x", oneWay)
		l.ask("_ping", "").want(wire.OK)
		synctest.Wait()
		if st := s.Stats(); st.Degraded != 3 || st.Shadowed != 0 || l.stray != 0 {
			t.Errorf("stats are %+v", st)
		}
		l.govern(8, on("r3", "", off("all", "")))
		l.ask("Other", "x").wantRule(wire.Degraded, "r3", 8)
		l.govern(9)
		if s.enforced.current.Load() != nil {
			t.Error("a policy without restrictions costs something")
		}
		l.ask("Other", "x").wantBody("x")
	})
}

// TestAPolicyTakesWhatWaits: it is what is in force when the handler would start that counts, and what runs ends.
func TestAPolicyTakesWhatWaits(t *testing.T) {
	g := newGate()
	story(t, func(s *Server) { HandleRaw(s, "Wait", g.handle) }, func(_ *testing.T, n *node, _ *running) {
		l := <-n.opened
		runs := l.ask("Wait", "first")
		<-g.started
		waits := l.ask("Wait", "second")
		l.govern(1, on("r", "Wait", off("", "")))
		close(g.open)
		runs.wantBody("first")
		waits.wantRule(wire.Degraded, "r", 1)
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestAddresses(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("list", "Echo", from("10.0.0.0/8 2001:db8::/32 127.0.0.1/32", "10.1.0.0/16")), on("bad", "Other", from("", "192.0.2.0/24")))
		for _, c := range []struct {
			method, ip, rule string
		}{
			{"Echo", "10.0.0.1", ""}, {"Echo", "10.1.0.1", "list"}, {"Echo", "11.0.0.1", "list"}, {"Echo", "2001:db8::7", ""}, {"Echo", "2001:db9::7", "list"},
			{"Echo", "unix", ""}, {"Echo", "", "list"}, {"Echo", "nowhere", "list"}, {"Echo", "::ffff:10.0.0.1", ""}, {"Echo", "::ffff:10.1.0.1", "list"},
			{"Other", "192.0.2.1", "bad"}, {"Other", "192.0.3.1", ""}, {"Other", "unix", ""}, {"Other", "nowhere", "bad"}, {"Inline", "192.0.2.1", ""},
		} {
			q := l.ask(c.method, c.ip, invoker("web", c.ip))
			if c.rule == "" {
				q.wantBody(c.ip)
			} else {
				q.wantRule(wire.Denied, c.rule, 1)
			}
		}
		if got := s.Stats().Denied; got != 8 {
			t.Errorf("%d are counted as denied", got)
		}
	})
}

func TestRates(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("r", "Echo", limited(10, 2)), on("all", "", limited(1000, 1000)))
		l.ask("Echo", "x").wantBody("x")
		l.ask("Echo", "x").wantBody("x")
		if h := l.ask("Echo", "x").wantRule(wire.RateLimited, "r", 1); h.GetRetryAfterMs() < 1 || h.GetRetryAfterMs() > 100 {
			t.Errorf("come back after %d ms, want about 100", h.GetRetryAfterMs())
		}
		l.ask("Other", "x").wantBody("x")
		// The same rule goes on with its bucket, another rate and all.
		l.govern(2, on("r", "Echo", limited(10, 2)))
		l.ask("Echo", "x").wantRule(wire.RateLimited, "r", 2)
		l.govern(3, on("r", "Echo", limited(0, 0)))
		if h := l.ask("Echo", "x").wantRule(wire.RateLimited, "r", 3); h.GetRetryAfterMs() != 0 {
			t.Errorf("come back after %d ms to what never opens", h.GetRetryAfterMs())
		}
		l.govern(4, on("r", "Echo", limited(100, 2)))
		time.Sleep(15 * time.Millisecond)
		l.ask("Echo", "x").wantBody("x")
		l.ask("Echo", "x").wantRule(wire.RateLimited, "r", 4)
		// Another rule has another bucket.
		l.govern(5, on("s", "Echo", limited(10, 1)))
		l.ask("Echo", "x").wantBody("x")
		l.ask("Echo", "x").wantRule(wire.RateLimited, "s", 5)
		if got := s.Stats().RateLimited; got != 5 {
			t.Errorf("%d are counted", got)
		}
	})
}

// TestARulesMethodsShareItsBucket, over POLICY and methods.
func TestARulesMethodsShareItsBucket(t *testing.T) {
	story(t, echoes, func(_ *testing.T, n *node, _ *running) {
		l := <-n.opened
		l.govern(1, on("r", "Echo", limited(1, 2)), on("r", "Other", limited(1, 2)))
		l.ask("Echo", "x").wantBody("x")
		l.ask("Other", "x").wantBody("x")
		l.ask("Echo", "x").wantRule(wire.RateLimited, "r", 1)
		l.ask("Other", "x").wantRule(wire.RateLimited, "r", 1)
	})
}

func runLate(_ *wire.Frame, h *pb.RequestHeader) { h.Options = uint32(wire.RunLate) }

// TestLate: Other has the contract that it runs late, Echo and Inline have not.
func TestLate(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Echo", "x", budget(1)).wantRule(wire.Expired, "", 0)
		l.ask("Other", "x", budget(1)).wantBody("x")
		l.govern(1, on("d", "", late(pb.Late_LATE_DISCARD)))
		l.ask("Other", "x", budget(1)).wantRule(wire.Expired, "d", 1)
		l.ask("Inline", "x", budget(1), runLate).wantRule(wire.Expired, "d", 1)
		l.ask("Echo", "x", budget(1)).wantRule(wire.Expired, "", 0) // it would not have run without the rule
		l.ask("Other", "x").wantBody("x")
		// The one that names more goes first.
		l.govern(2, on("b", "Other", late(pb.Late_LATE_DISCARD), calledBy("batch")), on("r", "Other", late(pb.Late_LATE_RUN)), on("d", "", late(pb.Late_LATE_DISCARD)))
		l.ask("Other", "x", budget(1)).wantBody("x")
		l.ask("Other", "x", budget(1), invoker("batch", "10.0.0.1")).wantRule(wire.Expired, "b", 2)
		l.govern(3, on("r", "", late(pb.Late_LATE_RUN)))
		l.ask("Echo", "x", budget(1)).wantBody("x")
		l.ask("Inline", "x", budget(1)).wantBody("x")
		l.govern(4, on("s", "", late(pb.Late_LATE_DISCARD), shadow))
		l.ask("Echo", "x", budget(1)).wantRule(wire.Expired, "", 0)
		l.ask("Other", "x").wantBody("x")
		l.ask("Other", "x", budget(1)).wantBody("x")
		if st := s.Stats(); st.Shadowed != 1 || st.Expired != 6 {
			t.Errorf("stats are %+v", st)
		}
	})
}

// TestShadowRunsAndIsSaid once a second for each rule.
func TestShadowRunsAndIsSaid(t *testing.T) {
	var log bytes.Buffer
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1,
			on("r1", "Echo", off("", ""), shadow), on("r2", "Echo", from("192.0.2.0/24", ""), shadow),
			on("r3", "Echo", locked(&pb.Key{KeyId: 1, Secret: []byte("geheim")}), shadow), on("r4", "Echo", limited(0, 0), shadow))
		for range 3 {
			l.ask("Echo", "x").wantBody("x")
		}
		synctest.Wait()
		if st := s.Stats(); st.Shadowed != 12 || st.Degraded+st.Denied+st.BadDigest+st.RateLimited != 0 {
			t.Errorf("stats are %+v", st)
		}
		for id, code := range map[string]string{"r1": "DEGRADED", "r2": "DENIED", "r3": "BAD_DIGEST", "r4": "RATE_LIMITED"} {
			line := fmt.Sprintf("rule=%s code=%s method=Echo caller=web", id, code)
			if got := strings.Count(log.String(), line); got != 1 {
				t.Errorf("%q is said %d times in\n%s", line, got, &log)
			}
		}
		time.Sleep(time.Second)
		l.ask("Echo", "x").wantBody("x")
		if got := strings.Count(log.String(), "rule=r1"); got != 2 || !strings.Contains(log.String(), "unsaid=2") {
			t.Errorf("a second later it is said %d times in all:\n%s", got, &log)
		}
		if strings.Contains(log.String(), "geheim") {
			t.Error("a secret is in the log")
		}
	}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

// TestOrderOfChecks takes away what refuses, one after the other.
func TestOrderOfChecks(t *testing.T) {
	key := &pb.Key{KeyId: 1, Secret: []byte("s")}
	all := []*pb.Restriction{
		on("late", "", late(pb.Late_LATE_DISCARD)), on("rate", "", limited(0, 0)), on("password", "", locked(key)),
		on("addresses", "", from("192.0.2.0/24", "")), on("off", "", off("", "")), on("rate2", "Other", limited(0, 0)),
	}
	story(t, echoes, func(_ *testing.T, n *node, _ *running) {
		l := <-n.opened
		for i, want := range []struct {
			code wire.Code
			id   string
		}{{wire.Degraded, "off"}, {wire.Denied, "addresses"}, {wire.BadDigest, "password"}, {wire.RateLimited, "rate2"}, {wire.RateLimited, "rate"}, {wire.Expired, "late"}} {
			l.govern(uint64(i+1), all...)
			l.ask("Other", "x", budget(1)).wantRule(want.code, want.id, uint64(i+1))
			kept := all[:0:0]
			for _, r := range all {
				if r.GetRuleId() != want.id {
					kept = append(kept, r)
				}
			}
			all = kept
		}
	})
}

// TestTheNewestPolicyCounts, whichever node it comes from, and each is acknowledged.
func TestTheNewestPolicyCounts(t *testing.T) {
	twoNodes(t, echoes, func(_ *testing.T, alpha, beta *node, _ *running) {
		a, b := <-alpha.opened, <-beta.opened
		a.govern(5, on("r5", "Echo", off("", "")))
		b.govern(4, on("r4", "Other", off("", "")))
		a.ask("Echo", "x").wantRule(wire.Degraded, "r5", 5)
		b.ask("Echo", "x").wantRule(wire.Degraded, "r5", 5)
		b.ask("Other", "x").wantBody("x")
		b.govern(5, on("r6", "Other", off("", ""))) // r5 has ended by itself
		a.ask("Echo", "x").wantBody("x")
		a.ask("Other", "x").wantRule(wire.Degraded, "r6", 5)
		a.govern(5, on("r5", "Echo", off("", "")))
		b.tell(wire.KindPolicy, &pb.Policy{Epoch: 1, Version: 99}) // an older epoch
		<-beta.opened
		a.ask("Echo", "x").wantRule(wire.Degraded, "r5", 5)
		b.govern(6)
		a.ask("Echo", "x").wantBody("x")
	})
}

// TestABrokenPolicyEndsTheSession, and nothing of it is in force.
func TestABrokenPolicyEndsTheSession(t *testing.T) {
	for name, r := range map[string]*pb.Restriction{
		"no kind":      on("r2", "Other"),
		"no prefix":    on("r2", "Other", from("10.0.0.0", "")),
		"a broken one": on("r2", "Other", from("", "10.0.0.0/33")),
	} {
		t.Run(name, func(t *testing.T) {
			story(t, echoes, func(t *testing.T, n *node, s *running) {
				l := <-n.opened
				l.govern(1, on("r1", "Echo", limited(1, 1)))
				l.tell(wire.KindPolicy, &pb.Policy{Epoch: 2, Version: 2, Restrictions: []*pb.Restriction{
					on("r1", "Echo", limited(1000, 1000)), on("r3", "Inline", off("", "")), r,
				}})
				f := <-l.control
				var g pb.Goaway
				if err := proto.Unmarshal(f.Header, &g); err != nil || f.Kind != wire.KindGoaway || wire.Code(g.GetCode()) != wire.BadRequest ||
					!strings.Contains(g.GetMessage(), "r2") {
					t.Errorf("the server says %v %v", f.Kind, &g)
				}
				<-l.gone
				next := <-n.opened
				if m := s.enforced.newest(); m.Epoch != 2 || m.Version != 1 {
					t.Errorf("in force is %+v", m)
				}
				next.ask("Inline", "x").wantBody("x")
				next.ask("Echo", "x").wantBody("x")
				next.ask("Echo", "x").wantRule(wire.RateLimited, "r1", 1)
			})
		})
	}
}

func TestCounts(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		echoes(s)
		g = newGate()
		HandleRaw(s, "Wait", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("r", "Other", off("", "")))
		l.ask("Echo", "x").wantBody("x")
		l.ask("Echo", "x", budget(1)).want(wire.Expired)
		l.ask("Other", "x").want(wire.Degraded)
		l.ask("Inline", "x").wantBody("x")
		running := l.ask("Wait", "x")
		<-g.started
		synctest.Wait()
		body, _ := l.ask("_counts", "").want(wire.OK)
		var got pb.HandlerCounts
		if err := proto.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		_, uuid := s.Instance()
		want := &pb.HandlerCounts{InstanceUuid: uuid, UptimeMs: got.GetUptimeMs(), Methods: []*pb.MethodCounts{
			{Name: "Echo", Started: 1, Finished: 1, Expired: 1}, {Name: "Inline", Started: 1, Finished: 1},
			{Name: "Other", Refused: 1}, {Name: "Wait", Started: 1},
		}}
		if !proto.Equal(&got, want) {
			t.Errorf("counts are\n%v, want\n%v", &got, want)
		}
		close(g.open)
		running.wantBody("x")
	})
}
