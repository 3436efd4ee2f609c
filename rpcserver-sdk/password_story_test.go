package rpcserver

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// signed signs a call as web does, with a time and a nonce.
func signed(secret string, keyID uint32, at time.Time, nonce string) func(*wire.Frame, *pb.RequestHeader) {
	return func(f *wire.Frame, h *pb.RequestHeader) {
		d := wire.Digest{KeyID: keyID, Nonce: []byte(nonce), TimestampMS: uint64(at.UnixMilli())}
		d.Sign([]byte(secret), []byte("web"), []byte(h.GetModule()), []byte(h.GetMethod()), []byte(h.GetMessageId()), f.Body)
		h.Digest = &pb.Digest{KeyId: keyID, Nonce: d.Nonce, TimestampMs: d.TimestampMS, Mac: d.MAC}
	}
}

var (
	oldKey = &pb.Key{KeyId: 1, Secret: []byte("old")}
	newKey = &pb.Key{KeyId: 2, Secret: []byte("new")}
)

func TestPasswords(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("p", "Echo", locked(oldKey, newKey)))
		now := time.Now()
		nonce := 0
		fresh := func() string { nonce++; return "nonce of 16 byte" + strconv.Itoa(nonce) }
		for _, good := range []func(*wire.Frame, *pb.RequestHeader){
			signed("old", 1, now, fresh()), signed("new", 2, now, fresh()),
			signed("old", 1, now.Add(-119*time.Second), fresh()), signed("old", 1, now.Add(119*time.Second), fresh()),
			signed("old", 1, now, "same"), signed("new", 2, now, "same"), // another key: another nonce
		} {
			l.ask("Echo", "x", good).wantBody("x")
		}
		l.ask("Other", "x").wantBody("x")
		for name, bad := range map[string]func(*wire.Frame, *pb.RequestHeader){
			"none":           func(*wire.Frame, *pb.RequestHeader) {},
			"another secret": signed("older", 1, now, fresh()),
			"another key":    signed("old", 2, now, fresh()),
			"no such key":    signed("old", 3, now, fresh()),
			"too old":        signed("old", 1, now.Add(-121*time.Second), fresh()),
			"too new":        signed("old", 1, now.Add(121*time.Second), fresh()),
			"no time":        signed("old", 1, time.UnixMilli(0), fresh()),
			"the end of time": func(f *wire.Frame, h *pb.RequestHeader) {
				d := wire.Digest{KeyID: 1, Nonce: []byte("n"), TimestampMS: 1<<64 - 1}
				d.Sign([]byte("old"), []byte("web"), []byte("hello"), []byte("Echo"), nil, f.Body)
				h.Digest = &pb.Digest{KeyId: 1, Nonce: d.Nonce, TimestampMs: d.TimestampMS, Mac: d.MAC}
			},
			"another body": func(f *wire.Frame, h *pb.RequestHeader) {
				signed("old", 1, now, fresh())(f, h)
				f.Body = []byte("y")
			},
			"another method": func(f *wire.Frame, h *pb.RequestHeader) {
				h.Method = "Other"
				signed("old", 1, now, fresh())(f, h)
				h.Method = "Echo"
			},
			"another caller": func(f *wire.Frame, h *pb.RequestHeader) {
				signed("old", 1, now, fresh())(f, h)
				h.InvokerModule = "mail"
			},
			"half a mac": func(f *wire.Frame, h *pb.RequestHeader) {
				signed("old", 1, now, fresh())(f, h)
				h.Digest.Mac = h.GetDigest().GetMac()[:16]
			},
		} {
			if h := l.ask("Echo", "x", bad).wantRule(wire.BadDigest, "p", 1); strings.Contains(h.GetMessage(), "old") {
				t.Errorf("%s: the answer says %q", name, h.GetMessage())
			}
		}
		l.ask("Echo", "x", signed("old", 1, now, "same")).wantRule(wire.Replayed, "p", 1)
		l.ask("Echo", "x", signed("old", 1, now.Add(time.Second), "same")).wantRule(wire.Replayed, "p", 1)
		if st := s.Stats(); st.BadDigest != 12 || st.Replayed != 2 {
			t.Errorf("stats are %+v", st)
		}
	})
}

// TestNoncesAreForgottenAfterTheWindow, and not before.
func TestNoncesAreForgottenAfterTheWindow(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("p", "Echo", locked(oldKey)))
		time.Sleep(900 * time.Millisecond) // so that the window ends late in a second
		start := time.Now()
		l.ask("Echo", "x", signed("old", 1, start.Add(119*time.Second), "n")).wantBody("x")
		time.Sleep(239*time.Second - 100*time.Millisecond)
		l.ask("Echo", "x", signed("old", 1, start.Add(119*time.Second), "n")).wantRule(wire.Replayed, "p", 1)
		time.Sleep(3 * time.Second)
		l.ask("Echo", "x", signed("old", 1, start.Add(119*time.Second), "n")).wantRule(wire.BadDigest, "p", 1)
		l.ask("Echo", "x", signed("old", 1, time.Now(), "n")).wantBody("x")
		time.Sleep(time.Hour)
		l.ask("Echo", "x", signed("old", 1, time.Now(), "n")).wantBody("x")
		if got := len(s.enforced.nonces.known); got != 1 {
			t.Errorf("%d nonces are remembered", got)
		}
	})
}

// TestAFullMemoryTakesNoMore, until digests leave their window.
func TestAFullMemoryTakesNoMore(t *testing.T) {
	story(t, func(s *Server) {
		echoes(s)
		s.enforced.nonces.limit = 2
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("p", "Echo", locked(oldKey)))
		l.ask("Echo", "x", signed("old", 1, time.Now(), "1")).wantBody("x")
		l.ask("Echo", "x", signed("old", 1, time.Now(), "2")).wantBody("x")
		if h := l.ask("Echo", "x", signed("old", 1, time.Now(), "3")).wantRule(wire.Overloaded, "p", 1); h.GetRetryAfterMs() == 0 {
			t.Error("it does not say when to come back")
		}
		l.ask("Echo", "x", signed("old", 1, time.Now(), "2")).wantRule(wire.Replayed, "p", 1)
		time.Sleep(122 * time.Second)
		l.ask("Echo", "x", signed("old", 1, time.Now(), "3")).wantBody("x")
		if got := s.Stats().Overloaded; got != 1 {
			t.Errorf("%d overloaded", got)
		}
	})
}

// TestADeliveryMayBeLateAndComeTwice, but needs the password.
func TestADeliveryMayBeLateAndComeTwice(t *testing.T) {
	story(t, echoes, func(_ *testing.T, n *node, _ *running) {
		l := <-n.opened
		l.govern(1, on("p", "Echo", locked(oldKey)))
		delivery := func(secret string) func(*wire.Frame, *pb.RequestHeader) {
			return func(f *wire.Frame, h *pb.RequestHeader) {
				f.Flags, h.MessageId, h.Options = wire.FlagDelivery, "order 7", uint32(wire.Reachable)
				signed(secret, 1, time.Now().Add(-5*time.Hour), "n")(f, h)
			}
		}
		l.ask("Echo", "x", delivery("old")).wantBody("x")
		l.ask("Echo", "x", delivery("old")).wantBody("x")
		l.ask("Echo", "x", delivery("other")).wantRule(wire.BadDigest, "p", 1)
	})
}

// TestSeveralPasswordsMustAllFit: the nonce of a call is taken once, and one in shadow says nothing.
func TestSeveralPasswordsMustAllFit(t *testing.T) {
	story(t, echoes, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.govern(1, on("method", "Echo", locked(oldKey, newKey)), on("all", "", locked(newKey)))
		l.ask("Echo", "x", signed("new", 2, time.Now(), "1")).wantBody("x")
		l.ask("Echo", "x", signed("old", 1, time.Now(), "2")).wantRule(wire.BadDigest, "all", 1)
		l.ask("Echo", "x", signed("new", 2, time.Now(), "1")).wantRule(wire.Replayed, "method", 1)
		l.govern(2, on("method", "Echo", locked(newKey), shadow), on("all", "", locked(newKey, oldKey)))
		l.ask("Echo", "x", signed("old", 1, time.Now(), "3")).wantBody("x")
		l.ask("Echo", "x", signed("new", 2, time.Now(), "4")).wantBody("x")
		l.ask("Echo", "x", signed("new", 2, time.Now(), "4")).wantRule(wire.Replayed, "all", 2)
		l.govern(3, on("method", "Echo", locked(newKey), shadow))
		l.ask("Echo", "x", signed("new", 2, time.Now(), "4")).wantBody("x")
		synctest.Wait()
		if got := s.Stats().Shadowed; got != 2 {
			t.Errorf("%d are counted for shadow, want the wrong key and the nonce", got)
		}
	})
}
