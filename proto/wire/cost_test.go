package wire_test

import (
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// typical is a request as an SDK sends it, walked and encoded.
func typical() (wire.Frame, []byte) {
	r := wire.Request{Module: []byte("pay"), Method: []byte("Charge"), Options: wire.Idempotent, ContentType: []byte("application/json")}
	h := wire.AppendMetadata(r.Append(nil), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f := wire.Frame{Kind: wire.KindRequest, CallID: 1 << 40, BudgetMS: 2000, Header: h, Body: make([]byte, 512)}
	return f, f.Append(nil)
}

// costs are the functions that a node runs for every frame, once each.
func costs() map[string]func() {
	f, encoded := typical()
	var r wire.Request
	var d wire.Digest
	answer := wire.AppendDetail([]byte("\x0a\x03E42\x12\x07no such"), "account", "7")
	digest := header(nil).varint(1, 7).text(2, long(16)).varint(3, 1700000000000).text(4, long(32))
	buffer := make([]byte, 0, 4096)
	invoker := wire.AppendInvoker(nil, "web", "web-1", "10.0.0.1", "n1", 7)
	stamped := wire.AppendCallStamp(append(append([]byte(nil), f.Header...), invoker...), 1, 2, 3)
	crossing := f
	crossing.Hops, crossing.RPCID = 1, 9
	fromPeer := wire.AppendHopTime(wire.AppendReceiver(append([]byte(nil), answer...), "pay", "1", "u", "n2"), "n2", 100)
	fromPeer = wire.AppendUnknown(wire.AppendRefusal(fromPeer, &wire.Refusal{Node: "n2", Hop: 2, RuleID: "r7", RuleVersion: 3, Try: []string{"n3"}}), "pay", "1", "u", "n2")
	return map[string]func(){
		"Decode": func() {
			if _, _, err := wire.Decode(encoded, wire.MaxFrame); err != nil {
				panic(err)
			}
		},
		"CheckPrefix": func() {
			if err := f.CheckPrefix(); err != nil {
				panic(err)
			}
		},
		"Walk": func() {
			if err := r.Walk(f.Header, wire.ByModule); err != nil {
				panic(err)
			}
		},
		"WalkStamped": func() {
			if err := r.Walk(stamped, wire.ByNode); err != nil {
				panic(err)
			}
		},
		"Check": func() {
			if err := r.Check(&f); err != nil {
				panic(err)
			}
		},
		"CheckAnswer": func() {
			if _, err := wire.CheckAnswer(wire.AppError, answer); err != nil {
				panic(err)
			}
		},
		"CheckPeerPrefix": func() {
			if err := crossing.CheckPeerPrefix(); err != nil {
				panic(err)
			}
		},
		"CheckPeerAnswer": func() {
			if err := wire.CheckPeerAnswer(wire.AppError, fromPeer); err != nil {
				panic(err)
			}
		},
		"DigestWalk": func() {
			if err := d.Walk(digest); err != nil {
				panic(err)
			}
		},
		"Append":          func() { buffer = f.Append(buffer[:0]) },
		"AppendStamp":     func() { buffer = wire.AppendCallStamp(append(buffer[:0], invoker...), 1, 2, 3) },
		"AppendDelivery":  func() { buffer = wire.AppendDelivery(buffer[:0], 1, 2, true, 3) },
		"AppendReceiver":  func() { buffer = wire.AppendReceiver(buffer[:0], "pay", "1", "u", "n1") },
		"AppendMetadata":  func() { buffer = wire.AppendMetadata(buffer[:0], "k", "v") },
		"EachMetadata":    func() { wire.EachMetadata(f.Header, func(key, value []byte) {}) },
		"Request.Append":  func() { buffer = r.Append(buffer[:0]) },
		"SetBudget":       func() { wire.SetBudget(encoded, wire.Budget(encoded)) },
		"AppendHopTime":   func() { buffer = wire.AppendHopTime(buffer[:0], "n1", 100) },
		"AppendAttempts":  func() { buffer = wire.AppendAttempts(buffer[:0], 2) },
		"AppendAccepted":  func() { buffer = wire.AppendAccepted(buffer[:0], 1, 2) },
		"AppendRefusal":   func() { buffer = wire.AppendRefusal(buffer[:0], &wire.Refusal{Message: "m", Node: "n1", Hop: 1}) },
		"SetTarget":       func() { wire.SetTarget(stamped, 9) },
		"Code and class":  func() { _ = wire.Timeout.String() + wire.Timeout.Class().String() },
		"Kind of a frame": func() { _ = f.Kind.String() },
	}
}

func TestNothingAllocates(t *testing.T) {
	for name, run := range costs() {
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// TestRefusalsAreBounded: an error text carries little of its input, whatever the input is.
func TestRefusalsAreBounded(t *testing.T) {
	const limit = 512
	var r wire.Request
	for _, h := range []header{
		call().text(3, long(1<<20)), header(nil).text(1, "\x00"+long(126)), call().text(8, "\xff"+long(127)), call().bytes(16, entry("\xff"+long(126), "")),
		call().bytes(16, entry(long(127), "\xff")),
	} {
		if err := r.Walk(h, wire.ByNode); err == nil || len(err.Error()) > limit {
			t.Errorf("refused with %d bytes", len(err.Error()))
		}
	}
	if _, _, err := wire.SplitMethod(long(1 << 20)); err == nil || len(err.Error()) > limit {
		t.Errorf("SplitMethod: %d bytes", len(err.Error()))
	}
}

func BenchmarkWire(b *testing.B) {
	all := costs()
	for _, name := range []string{"Decode", "CheckPrefix", "Walk", "WalkStamped", "Check", "CheckAnswer", "CheckPeerPrefix", "CheckPeerAnswer", "Append", "AppendStamp"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				all[name]()
			}
		})
	}
}
