package caller

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// wantDigest verifies the digest of a request as a server does, and returns its nonce.
func wantDigest(t *testing.T, f *wire.Frame, keyID uint32, secret string) (nonce string) {
	t.Helper()
	var r wire.Request
	var d wire.Digest
	if err := r.Walk(f.Header, wire.ByModule); err != nil {
		t.Fatal(err)
	}
	if err := d.Walk(r.Digest); err != nil {
		t.Fatal(err)
	}
	if d.KeyID != keyID || len(d.Nonce) != 16 || d.TimestampMS != uint64(time.Now().UnixMilli()) {
		t.Errorf("digest is %+v, want key %d and this moment", d, keyID)
	}
	if !d.Verify([]byte(secret), []byte("web"), r.Module, r.Method, r.MessageID, f.Body) {
		t.Error("the digest is not that of the call")
	}
	return string(d.Nonce)
}

// TestEveryAttemptHasADigestOfItsOwn: whatever is the reason that a call is sent again.
func TestEveryAttemptHasADigestOfItsOwn(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		seen := map[string]bool{}
		a := alice.ask(t.Context(), "tea", Password(7, "geheim"), Idempotent{}, Metadata("k", "v"), Timeout(time.Hour))
		for i := range 3 {
			f := <-p.requests
			nonce := wantDigest(t, &f, 7, "geheim")
			if seen[nonce] || int(f.Attempt) != i {
				t.Errorf("attempt %d came as %d, its nonce is known: %v", i, f.Attempt, seen[nonce])
			}
			seen[nonce] = true
			switch i {
			case 0:
				time.Sleep(time.Second) // sleeps: the time of the bubble
				p.reply(&f, wire.StaleRoute, nil, "")
			case 1:
				p.kill()
				p = <-alpha.opened
			default:
				p.reply(&f, wire.OK, nil, "done")
			}
		}
		a.wantReply(t, "done")

		// A call without the option has none, also in a record that had one.
		b := alice.ask(t.Context(), "tea")
		f := <-p.requests
		var r wire.Request
		if err := r.Walk(f.Header, wire.ByModule); err != nil || r.Digest != nil {
			t.Errorf("a digest nobody asked for: %x, %v", r.Digest, err)
		}
		p.reply(&f, wire.OK, nil, "done")
		b.wantReply(t, "done")

		if err := alice.OneWay(t.Context(), "shop.Buy", []byte("note"), Password(0, "s")); err != nil {
			t.Error(err)
		}
		f = <-p.requests
		wantDigest(t, &f, 0, "s")
	})
}

// TestAnAttemptThatNeverLeftLeavesNoDigest behind: the next one is a first attempt, too.
func TestAnAttemptThatNeverLeftLeavesNoDigest(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		cl := alice.newCall()
		Password(1, "s").ApplyToCall(&cl.settings)
		cl.name, cl.invoker, cl.deadline, cl.attempts, cl.body = "shop.Buy", "web", time.Minute, 1, []byte("tea")
		if err := cl.encode(&alice.names, ""); err != nil {
			t.Fatal(err)
		}
		f := cl.frame(0)
		first := wantDigest(t, &f, 1, "s")
		f = cl.frame(0)
		if wantDigest(t, &f, 1, "s") == first {
			t.Error("both have the same nonce")
		}
	})
}

// TestACallThatWaitedHasATimeOfWhenItIsSent, not of when it was made.
func TestACallThatWaitedHasATimeOfWhenItIsSent(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.down = true })
		alice := m.client("alpha:1")
		a := alice.ask(t.Context(), "tea", Password(1, "s"), Timeout(time.Hour))
		time.Sleep(5 * time.Minute) // sleeps: the time of the bubble
		alpha.set(func() { alpha.down = false })
		p := <-alpha.opened
		f := <-p.requests
		wantDigest(t, &f, 1, "s")
		p.reply(&f, wire.OK, nil, "done")
		a.wantReply(t, "done")
	})
}

func TestPasswordsThatCannotBe(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		<-alpha.opened
		for _, secret := range []string{"", strings.Repeat("geheim", 200)} {
			err := alice.Call(t.Context(), "shop.Buy", nil, nil, Password(1, secret))
			if e := wantError(t, err, NotExecuted, CodeBadOption); strings.Contains(e.Error(), "geheim") {
				t.Errorf("the error tells the password: %v", e)
			}
		}
	})
}

// TestRefusalsByRules: what the caller's error says of them.
func TestRefusalsByRules(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		for _, c := range []struct {
			name, kind, want string
			opts             []CallOption
		}{
			{"of the rule", "text/plain", "text/plain", nil},
			{"of the request", "", "application/json", []CallOption{ContentType("application/json")}},
			{"none", "", "", nil},
		} {
			a := alice.ask(t.Context(), "one", c.opts...)
			f := <-p.requests
			p.reply(&f, wire.Degraded, &pb.ResponseHeader{RuleId: "r7", RuleVersion: 1<<64 - 1, ContentType: c.kind, RetryAfterMs: 1500}, "take water")
			e := a.wantError(t, NotExecuted, CodeDegraded)
			if e.RuleID != "r7" || e.RuleVersion != 1<<64-1 || e.RetryAfter != 1500*time.Millisecond || string(e.Fallback) != "take water" ||
				e.FallbackType != c.want || e.Node != "" {
				t.Errorf("%s: error is %+v", c.name, e)
			}
			if len(a.body) != 0 {
				t.Errorf("the answer is %q: a fallback is no answer", a.body)
			}
		}
		b := alice.ask(t.Context(), "two")
		f := <-p.requests
		p.reply(&f, wire.Degraded, &pb.ResponseHeader{ContentType: "text/plain"}, "")
		if e := b.wantError(t, NotExecuted, CodeDegraded); e.Fallback != nil || e.FallbackType != "" {
			t.Errorf("error is %+v", e)
		}
	})
}

// policyOf encodes a POLICY with one restriction.
func policyOf(r *pb.Restriction) []byte {
	header, err := proto.Marshal(&pb.Policy{Epoch: 1, Version: 1, Restrictions: []*pb.Restriction{r}})
	if err != nil {
		panic(err)
	}
	return header
}

// TestABrokenPolicyIsNotHandedOver, and the node is told.
func TestABrokenPolicyIsNotHandedOver(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.policy = true
		heard := make(chan *pb.Policy, 4)
		m.client("alpha:1", func(o *Options) {
			o.Server = policyServer{heard: heard}
			o.Login.Role = pb.Role_ROLE_SERVER
		})
		p := <-alpha.opened
		wantControl(t, p, wire.KindPolicyOK)
		<-heard
		good := policyOf(&pb.Restriction{RuleId: "r", Kind: &pb.Restriction_Off{Off: &pb.Off{}}})
		p.send(frameconn.Control, &wire.Frame{Kind: wire.KindPolicy, Header: good[:5], Body: good[5:]})
		wantControl(t, p, wire.KindPolicyOK)
		if got := <-heard; len(got.GetRestrictions()) != 1 {
			t.Errorf("the server hears %v", got)
		}
		p.send(frameconn.Control, &wire.Frame{Kind: wire.KindPolicy, Header: policyOf(&pb.Restriction{RuleId: "r"})})
		f := wantControl(t, p, wire.KindGoaway)
		var g pb.Goaway
		if err := proto.Unmarshal(f.Header, &g); err != nil || wire.Code(g.GetCode()) != wire.BadRequest {
			t.Errorf("the node is told %v, %v", &g, err)
		}
		if len(heard) != 0 {
			t.Error("the server has heard of it")
		}
	})
}

// policyServer is told what to enforce.
type policyServer struct {
	idleServer

	heard chan *pb.Policy
}

func (s policyServer) Policy(_ *Session, p *pb.Policy) error {
	s.heard <- p
	return nil
}
