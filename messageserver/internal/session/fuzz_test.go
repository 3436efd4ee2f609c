package session

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// FuzzPreAuthStream says the same in one piece and in others: the node hears the same, and reads no more than a login.
func FuzzPreAuthStream(f *testing.F) {
	login := header(wire.KindLogin, loginOf("web", "web-1", pb.Role_ROLE_BOTH, "Move"))
	hello := login.Append([]byte(wire.Preface))
	call := request(1, "nobody.Move")
	f.Add([]byte(wire.Preface), uint16(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(3))
	f.Add(hello, uint16(7))
	f.Add(call.Append(slices.Clone(hello)), uint16(31))
	f.Add(slices.Repeat((&wire.Frame{Kind: wire.KindPing}).Append([]byte(wire.Preface)), 130), uint16(64))
	for _, v := range golden[struct{ Login string }](f, "logins.json") {
		b := wire.Frame{Kind: wire.KindLogin, Header: unhex(f, v.Login)}
		f.Add(b.Append([]byte(wire.Preface)), uint16(len(v.Login)))
	}
	for _, v := range golden[struct{ Hex string }](f, "prefixes.json") {
		f.Add(append([]byte(wire.Preface), unhex(f, v.Hex)...), uint16(11))
	}
	f.Fuzz(func(t *testing.T, said []byte, chunk uint16) {
		if len(said) > 8<<10 {
			said = said[:8<<10]
		}
		whole, pieces := overheard(t, said, len(said)), overheard(t, said, int(chunk)%257+1)
		if whole != pieces {
			t.Errorf("in one piece: %s\nin pieces of %d: %s", whole, chunk%257+1, pieces)
		}
	})
}

// overheard returns what the node says to a stream that comes in pieces, but PONGs: how many of them are read before the
// end depends on when it comes.
func overheard(t *testing.T, said []byte, chunk int) (heard string) {
	story(t, func(n *node) {
		m := n.connect(testkit.PipeOptions{Buffer: 1 << 20, Chunk: func(int) int { return chunk }})
		m.write(said)
		synctest.Wait()
		sessions := n.sessions.snapshot()
		for _, c := range sessions {
			if read := c.conn.Stats().BytesIn; !c.isOpen() && read > wire.LoginLimit {
				t.Errorf("%d bytes are read before the login", read)
			}
		}
		_ = m.conn.CloseWrite()
		for _, line := range strings.SplitAfter(m.hear(), "\n") {
			if !strings.HasPrefix(line, "PONG") {
				heard += line
			}
		}
		n.wantAlive()
	})
	return heard
}

// FuzzSession reads its input as a program for two callers and two servers at one node. Whatever they do, the node
// answers every request at most once, and exactly once unless its session ended, and in the end nothing is left.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x40, 0x41})
	f.Add([]byte("call, answer, cancel, wait"))
	for seed := range byte(32) {
		program := make([]byte, 200)
		for i := range program {
			program[i] = byte(i)*(2*seed+1) + seed
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		story(t, func(n *node) {
			p := newPlay(n)
			for len(program) > 0 {
				program = p.step(program)
			}
			p.finish()
		}, func(o *Options) { o.CallerQueue, o.MaxInFlight = 64<<10, 20 })
	})
}
