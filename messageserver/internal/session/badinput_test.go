package session

import (
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestNoiseIsClosedWithoutAWord sends what is not this protocol.
func TestNoiseIsClosedWithoutAWord(t *testing.T) {
	noise := make([]byte, 4000)
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(noise)
	noise[0] = 'x'
	for name, said := range map[string]string{
		"random bytes":           string(noise),
		"HTTP":                   "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
		"TLS":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"layout 0":               "2HOP\x00\x00\x00\x00",
		"layout 2":               "2HOP\x02\x00\x00\x00",
		"a last byte that is 1":  "2HOP\x01\x00\x00\x01",
		"a frame, no preface":    string((&wire.Frame{Kind: wire.KindPing}).Append(nil)),
		"a node's first message": string((&wire.Frame{Kind: wire.KindHello}).Append(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.connect(testkit.PipeOptions{})
				m.write([]byte(said))
				m.wantClosed()
				n.wantAlive()
			})
		})
	}
}

// badInput is what breaks the protocol in an open session of role both.
var badInput = map[string]struct {
	frames []wire.Frame
	raw    string // instead
	want   wire.Code
}{
	"length 0":                       {raw: "\x00\x00\x00\x00", want: wire.BadRequest},
	"length 27":                      {raw: "\x00\x00\x00\x1b" + strings.Repeat("\x00", 27), want: wire.BadRequest},
	"length of 1 MiB and 1":          {raw: "\x00\x10\x00\x01", want: wire.BadRequest},
	"length of 2^31":                 {raw: "\x80\x00\x00\x00", want: wire.BadRequest},
	"length of 2^32-1":               {raw: "\xff\xff\xff\xff", want: wire.BadRequest},
	"a header longer than its frame": {raw: "\x00\x00\x00\x1c\x10\x00\x00\x01" + strings.Repeat("\x00", 24), want: wire.BadRequest},
	"unknown kind":                   {frames: []wire.Frame{{Kind: 99}}, want: wire.BadRequest},
	"a node's kind":                  {frames: []wire.Frame{{Kind: wire.KindDelta}}, want: wire.BadRequest},
	"GOAWAY that is no message":      {frames: []wire.Frame{{Kind: wire.KindGoaway, Header: []byte{0xff}}}, want: wire.BadRequest},
	"METHODS that is no message":     {frames: []wire.Frame{{Kind: wire.KindMethods, Header: []byte{0xff}}}, want: wire.BadRequest},
	"POLICY_OK that is no message":   {frames: []wire.Frame{{Kind: wire.KindPolicyOK, Header: []byte{0xff}}}, want: wire.BadRequest},
	"a method with a dot": {frames: []wire.Frame{
		header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "a.b"}}}),
	}, want: wire.BadRequest},
	"a reserved method": {frames: []wire.Frame{
		header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "_ping"}}}),
	}, want: wire.BadRequest},
	"CANCEL that does not say why":   {frames: []wire.Frame{{Kind: wire.KindCancel, CallID: 1}}, want: wire.BadRequest},
	"an answer with a node's fields": {frames: []wire.Frame{{Kind: wire.KindResponse, CallID: 1, RPCID: 1}}, want: wire.BadRequest},
	"an answer with status 128":      {frames: []wire.Frame{{Kind: wire.KindResponse, CallID: 1, Status: 128}}, want: wire.BadRequest},
	"a part of nothing": {frames: []wire.Frame{
		{Kind: wire.KindPart, CallID: 1, Status: wire.Code(wire.KindRequest)},
	}, want: wire.BadRequest},
	"a call id twice": {frames: []wire.Frame{request(1, "slow.Move"), request(1, "slow.Move")}, want: wire.BadRequest},
	"a call id twice, once malformed": {frames: []wire.Frame{
		request(1, "slow.Move"), {Kind: wire.KindRequest, CallID: 1, Header: []byte{0xff}},
	}, want: wire.BadRequest},
	"a call id twice, once with a node's flag": {frames: []wire.Frame{
		request(1, "slow.Move"), {Kind: wire.KindRequest, CallID: 1, Flags: wire.FlagDelivery},
	}, want: wire.BadRequest},
	"more than a message may have": {frames: tooManyParts(), want: wire.TooLarge},
}

// tooManyParts is a request of 17 MiB.
func tooManyParts() []wire.Frame {
	first := request(1, "slow.Move")
	first.Flags |= wire.FlagMore
	frames := []wire.Frame{first}
	for range 17 {
		frames = append(frames, wire.Frame{
			Kind: wire.KindPart, Flags: wire.FlagMore, CallID: 1, Status: wire.Code(wire.KindRequest), Body: make([]byte, 1<<20-28),
		})
	}
	return frames
}

// TestABreachEndsItsSessionOnly wants a GOAWAY that says why, and everybody else to go on.
func TestABreachEndsItsSessionOnly(t *testing.T) {
	for name, c := range badInput {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				slow := n.server("slow", "slow-1", "Move")
				other := n.caller("other")
				other.send(request(9, "slow.Move"))
				waiting := slow.wantRequest()
				m := n.login(loginOf("bad", "bad-1", pb.Role_ROLE_BOTH, "Move"), testkit.PipeOptions{})
				m.ready()
				if c.raw != "" {
					m.write([]byte(c.raw))
				}
				m.send(c.frames...)
				m.wantGoaway(c.want)
				if got := n.sessions.Counters().Breaches.Load(); got != 1 {
					t.Errorf("%d breaches are counted", got)
				}
				slow.answer(waiting, wire.OK, "")
				other.wantAnswer(9, wire.OK)
				n.wantAlive()
			})
		})
	}
	t.Run("an answer from a caller", func(t *testing.T) {
		story(t, func(n *node) {
			m := n.caller("web")
			m.send(wire.Frame{Kind: wire.KindResponse, CallID: 1})
			m.wantGoaway(wire.BadRequest)
			n.wantAlive()
		})
	})
	t.Run("a call id twice while leaving", func(t *testing.T) {
		story(t, func(n *node) {
			slow := n.server("slow", "slow-1", "Move")
			first := n.server("pay", "pay-1", "Move")
			first.send(request(1, "slow.Move"))
			slow.wantRequest()
			n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{}).ready() // the same process
			first.wantCode(wire.KindGoaway, wire.Replaced)
			first.send(request(1, "slow.Move"))
			first.wantGoaway(wire.BadRequest)
		})
	})
}

// TestARefusedRequestEndsNothing wants the code, and the session to go on.
func TestARefusedRequestEndsNothing(t *testing.T) {
	field := func(num protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), value)
	}
	named := func(module, method string) wire.Frame {
		return wire.Frame{Kind: wire.KindRequest, CallID: 5, Header: append(field(1, module), field(2, method)...)}
	}
	with := func(more ...byte) wire.Frame {
		f := named("pay", "Move")
		f.Header = append(f.Header, more...)
		return f
	}
	prefix := func(edit func(f *wire.Frame)) wire.Frame {
		f := named("pay", "Move")
		edit(&f)
		return f
	}
	for name, c := range map[string]struct {
		request wire.Frame
		want    wire.Code
	}{
		"module of 0 bytes":             {named("", "Move"), wire.BadRequest},
		"module of 128 bytes":           {named(strings.Repeat("x", 128), "Move"), wire.BadRequest},
		"module with a line feed":       {named("pay\n", "Move"), wire.BadRequest},
		"module with an escape":         {named("pay\x1b[31m", "Move"), wire.BadRequest},
		"module with a NUL":             {named("pay\x00", "Move"), wire.BadRequest},
		"module that is not UTF-8":      {named("\xb0\xa1", "Move"), wire.BadRequest},
		"method of 128 bytes":           {named("pay", strings.Repeat("x", 128)), wire.BadRequest},
		"method with a dot":             {named("pay", "a.b"), wire.BadRequest},
		"the nodes' module":             {named("_node", "Move"), wire.Denied},
		"no header":                     {wire.Frame{Kind: wire.KindRequest, CallID: 5}, wire.BadRequest},
		"a header that ends in a field": {with(field(16, "xy")[:3]...), wire.BadRequest},
		"an open group":                 {with(protowire.AppendTag(nil, 20, protowire.StartGroupType)...), wire.BadRequest},
		"the end of a group":            {with(protowire.AppendTag(nil, 20, protowire.EndGroupType)...), wire.BadRequest},
		"a forged invoker":              {with(field(1000, "admin")...), wire.BadRequest},
		"a forged session":              {with(protowire.AppendFixed64(protowire.AppendTag(nil, 1003, protowire.Fixed64Type), 1)...), wire.BadRequest},
		"a forged fence":                {with(protowire.AppendFixed64(protowire.AppendTag(nil, 1009, protowire.Fixed64Type), 1)...), wire.BadRequest},
		"forged hops":                   {prefix(func(f *wire.Frame) { f.Hops = 1 }), wire.BadRequest},
		"forged rpc_id":                 {prefix(func(f *wire.Frame) { f.RPCID = 1 }), wire.BadRequest},
		"forged delivery":               {prefix(func(f *wire.Frame) { f.Flags = wire.FlagDelivery }), wire.BadRequest},
		"compression that nobody chose": {prefix(func(f *wire.Frame) { f.Flags = wire.FlagCompressed }), wire.BadRequest},
		"high and low":                  {prefix(func(f *wire.Frame) { f.Flags = wire.FlagHigh | wire.FlagLow }), wire.BadOption},
		"a header over 16 KiB":          {with(field(300, strings.Repeat("x", 16<<10))...), wire.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				m := n.caller("web")
				m.send(c.request)
				a := m.wantAnswer(5, c.want)
				if h := m.responseHeader(a); h.GetMessage() == "" || h.GetNode() != "a" || h.GetHop() != 1 || a.Hops != 1 || len(a.Body) != 0 {
					t.Errorf("%s says neither why nor where: %v", describe(a), h)
				}
				// One that cannot be answered is counted.
				silent := c.request
				silent.Flags, silent.CallID = silent.Flags|wire.FlagOneWay, 0
				m.send(silent)
				m.wantSilence()
				if got := n.router.Counters().OneWayRefused[c.want].Load(); got != 1 {
					t.Errorf("%d one-way calls are counted as refused for this", got)
				}
				m.send(c.request)
				m.wantAnswer(5, c.want)
				n.wantAlive()
			})
		})
	}
}
