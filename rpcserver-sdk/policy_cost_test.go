package rpcserver

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// costs are policies whose checks a call passes.
var costs = []struct {
	name         string
	ip           string
	restrictions []*pb.Restriction
}{
	{"no policy", "10.0.0.1", nil},
	{"another method", "10.0.0.1", []*pb.Restriction{on("r", "Other", off("", ""))}},
	{"another caller", "10.0.0.1", []*pb.Restriction{on("r", "Echo", off("", ""), calledBy("mail"))}},
	{"rate", "10.0.0.1", []*pb.Restriction{on("r", "Echo", limited(1e8, 1e9))}},
	{"late", "10.0.0.1", []*pb.Restriction{on("r", "", late(pb.Late_LATE_DISCARD))}},
	{"addresses", "10.0.0.1", []*pb.Restriction{on("r", "Echo", from("10.0.0.0/8 2001:db8::/32", "10.1.0.0/16"))}},
	{"IPv6 addresses", "2001:db8:1:2:3:4:5:6", []*pb.Restriction{on("r", "Echo", from("10.0.0.0/8 2001:db8::/32", "10.1.0.0/16"))}},
	{"addresses, rate and late", "10.0.0.1", []*pb.Restriction{
		on("r1", "Echo", from("10.0.0.0/8", "")), on("r2", "", limited(1e8, 1e9)), on("r3", "", late(pb.Late_LATE_RUN)),
	}},
}

// waitingTask returns a server with a policy, and a task that has been queued there.
func waitingTask(tb testing.TB, ip string, restrictions ...*pb.Restriction) (*Server, *task) {
	tb.Helper()
	s := New(Options{Module: "hello", Addresses: []string{"127.0.0.1:1"}})
	if s.broken != nil {
		tb.Fatal(s.broken)
	}
	tb.Cleanup(s.client.Close)
	if err := s.enforced.replace(&pb.Policy{Epoch: 1, Restrictions: restrictions}, 0); err != nil {
		tb.Fatal(err)
	}
	header, err := proto.Marshal(&pb.RequestHeader{
		Module: "hello", Method: "Echo", InvokerModule: "web", InvokerInstance: "web-1", InvokerIp: ip, InvokerSession: 5, InvokerCall: 6,
		IngressNode: "alpha", ReceivedAt: 1_000_000, Target: 1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	var h wire.Request
	if err := h.Walk(header, wire.ByNode); err != nil {
		tb.Fatal(err)
	}
	t := &task{method: &method{name: "Echo"}, due: time.Hour, facts: factsOf(header, &h)}
	t.asked.header = append(t.room[:0], header...)
	return s, t
}

func TestChecksDoNotAllocate(t *testing.T) {
	for _, c := range costs {
		s, waiting := waitingTask(t, c.ip, c.restrictions...)
		if n := testing.AllocsPerRun(1000, func() {
			if !s.admit(waiting) {
				t.Fatal("refused")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// BenchmarkAdmit is all that is asked right before a handler; a reading of the clock is in it.
func BenchmarkAdmit(b *testing.B) {
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			s, waiting := waitingTask(b, c.ip, c.restrictions...)
			b.ReportAllocs()
			for b.Loop() {
				if !s.admit(waiting) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkPassword is a call with a digest that is good: a hash of the body, an HMAC, and the memory of nonces.
func BenchmarkPassword(b *testing.B) {
	s, waiting := waitingTask(b, "10.0.0.1", on("r", "Echo", locked(oldKey)))
	waiting.asked.flags = wire.FlagDelivery // so that one digest is good for all
	waiting.asked.Body = make([]byte, 128)
	d := wire.Digest{KeyID: 1, Nonce: make([]byte, wire.NonceSize), TimestampMS: uint64(time.Now().UnixMilli())}
	d.Sign(oldKey.GetSecret(), []byte("web"), []byte("hello"), []byte("Echo"), nil, waiting.asked.Body)
	at := len(waiting.asked.header)
	waiting.asked.header = d.Append(waiting.asked.header)
	var h wire.Request
	if err := h.Walk(waiting.asked.header, wire.ByNode); err != nil {
		b.Fatal(err)
	}
	if waiting.facts = factsOf(waiting.asked.header, &h); int(waiting.facts.digest.from) <= at {
		b.Fatal("the digest is somewhere else")
	}
	b.ReportAllocs()
	now := time.Duration(0)
	for i := uint64(0); b.Loop(); i++ {
		if !s.admit(waiting) {
			b.Fatal("refused")
		}
		now += time.Millisecond
		d.KeyID, d.TimestampMS = uint32(i), i
		if s.enforced.nonces.take(&d, now, digestWindow) != nonceFresh {
			b.Fatal("not fresh")
		}
	}
}

// BenchmarkPolicy compiles as many restrictions as a POLICY may have.
func BenchmarkPolicy(b *testing.B) {
	p := &pb.Policy{}
	for range wire.MaxRestrictions {
		p.Restrictions = append(p.Restrictions, on("r", "Echo", from("10.0.0.0/8 2001:db8::/32", "10.1.0.0/16")))
	}
	e := enforcement{}
	b.ReportAllocs()
	for b.Loop() {
		p.Version++
		if err := e.replace(p, 0); err != nil {
			b.Fatal(err)
		}
	}
}
