package frameconn

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestConsistencyCheckFindsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name  string
		wrong func(c *Conn)
	}{
		{"bytes counted twice", func(c *Conn) { c.queued++ }},
		{"requests counted twice", func(c *Conn) { c.requests++ }},
		{"bytes in hand forgotten", func(c *Conn) { c.hands.bytes = 0 }},
		{"a chunk lost", func(c *Conn) { c.lanes[Answers].pop() }},
		{"a large message lost", func(c *Conn) { c.lanes[Requests].large = nil }},
		{"nobody writes", func(c *Conn) {
			c.hands, c.queued, c.requests, c.writer = hands{}, c.queued-c.hands.bytes, c.requests-c.hands.requests, idle
		}},
		{"something left in hand", func(c *Conn) { c.writer = wanted }},
		{"a record too few", func(c *Conn) { ch := c.lanes[Requests].chunks[0]; ch.records = ch.records[:1] }},
		{"records in disorder", func(c *Conn) {
			r := c.lanes[Requests].chunks[0].records
			r[0], r[1] = r[1], r[0]
		}},
		{"a leftover of Cancel", func(c *Conn) { c.lanes[Requests].chunks[0].dropped = false }},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			x, _ := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
			c := New(x, Options{})
			s := &side{t: t, conn: c}
			s.changed.L = &s.mu
			ran := make(chan error)
			go func() { ran <- c.Run(s) }()
			s.send(request(stuckID, 60<<10))
			synctest.Wait()
			s.send(request(1, 1), request(2, 1), request(3, 100<<10), response(4, 1))
			s.wantTakenBack(2, true)
			s.wantConsistent()
			c.mu.Lock()
			kept, queued, requests, writer := c.hands, c.queued, c.requests, c.writer
			test.wrong(c)
			c.mu.Unlock()
			if c.ConsistencyCheck() == nil {
				t.Errorf("%s: nothing is found", test.name)
			}
			c.mu.Lock()
			c.hands, c.queued, c.requests, c.writer = kept, queued, requests, writer
			c.mu.Unlock()
			c.Close(nil)
			<-ran
		})
	}
}

func TestStats(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	a.send(request(1, 100), request(2, 100<<10))
	b.wantFrames(2)
	a.conn.Shutdown(nil)
	b.wantCause(io.EOF)
	a.wantCause(ErrClosed)
	out, in := a.conn.Stats(), b.conn.Stats()
	small, large := request(1, 100), request(2, 100<<10)
	size := uint64(len(wire.Preface) + small.Size() + large.Size() + wire.PrefixSize)
	if out.FramesOut != 3 || in.FramesIn != 3 {
		t.Errorf("%d frames out, %d in, want 3: one small, two parts", out.FramesOut, in.FramesIn)
	}
	if out.BytesOut != size || in.BytesIn != size {
		t.Errorf("%d bytes out, %d in, want %d", out.BytesOut, in.BytesIn, size)
	}
	if out.Queued != 0 || out.Writes < 3 || out.Writes > 4 {
		t.Errorf("%d bytes queued after %d writes", out.Queued, out.Writes)
	}
}
