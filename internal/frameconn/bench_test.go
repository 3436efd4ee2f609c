package frameconn

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// bench is one end of a connection under measurement: requests are answered, answers are counted back to who waits.
type bench struct {
	nothing
	conn    *Conn
	echo    bool
	answer  wire.Frame
	wake    bool
	waiting []chan struct{} // by call id
}

func (h *bench) Frame(f *wire.Frame) error {
	if !h.echo {
		if len(h.waiting) > 0 {
			h.waiting[f.CallID] <- struct{}{}
		}
		return nil
	}
	h.answer = wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Body: f.Body}
	wake, err := h.conn.Send(Answers, &h.answer, false)
	h.wake = h.wake || wake
	return err
}

func (h *bench) BatchEnd() {
	if h.wake {
		h.wake = false
		h.conn.Flush()
	}
}

// benchPair runs two connections over TCP loopback. The second one answers what the first one sends.
func benchPair(b *testing.B, echo bool, senders int) (c *Conn, waiting []chan struct{}) {
	b.Helper()
	x, y := tcpPair(b)
	client, server := &bench{}, &bench{echo: echo}
	if echo {
		for range senders {
			client.waiting = append(client.waiting, make(chan struct{}, 1))
		}
	}
	client.conn, server.conn = New(x, Options{}), New(y, Options{Accepts: true})
	var ran sync.WaitGroup
	ran.Go(func() { client.conn.Run(client) })
	ran.Go(func() { server.conn.Run(server) })
	b.Cleanup(func() {
		client.conn.Close(nil)
		ran.Wait()
	})
	return client.conn, client.waiting
}

var senderCounts = []int{1, 64}

// One-way throughput: as fast as the queue lets.
func BenchmarkSend(b *testing.B) {
	for _, senders := range senderCounts {
		b.Run(itoa(senders), func(b *testing.B) {
			c, _ := benchPair(b, false, senders)
			b.ReportAllocs()
			b.SetBytes(128)
			b.ResetTimer()
			share(b.N, senders, func(int) {
				f := wire.Frame{Kind: wire.KindResponse, CallID: 1, Body: payload}
				for {
					wake, err := c.Send(Answers, &f, false)
					if wake {
						c.Flush()
					}
					if err == nil {
						return
					}
					runtime.Gosched()
				}
			})
			c.Shutdown(nil)
			<-c.Done()
			b.ReportMetric(float64(b.N)/float64(c.Stats().Writes), "frames/write")
		})
	}
}

var payload = pattern(128 - wire.PrefixSize)

// Closed loop: each sender waits for its answer.
func BenchmarkEcho(b *testing.B) {
	for _, senders := range senderCounts {
		b.Run(itoa(senders), func(b *testing.B) {
			c, waiting := benchPair(b, true, senders)
			b.ReportAllocs()
			b.ResetTimer()
			share(b.N, senders, func(sender int) {
				f := wire.Frame{Kind: wire.KindRequest, CallID: uint64(sender), BudgetMS: 10000, Body: payload}
				wake, err := c.Send(Requests, &f, false)
				if err != nil {
					b.Error(err)
				}
				if wake {
					c.Flush()
				}
				<-waiting[sender]
			})
			b.ReportMetric(float64(b.N)/float64(c.Stats().Writes), "frames/write")
		})
	}
}

// The floor: frames of 128 bytes over bufio, a mutex and a channel, flushed by whoever finds nobody flushing.
func BenchmarkBareEcho(b *testing.B) {
	for _, senders := range senderCounts {
		b.Run(itoa(senders), func(b *testing.B) {
			x, y := tcpPair(b)
			client, server := newBare(x), newBare(y)
			waiting := make([]chan struct{}, senders)
			for i := range waiting {
				waiting[i] = make(chan struct{}, 1)
			}
			var ran sync.WaitGroup
			ran.Go(func() {
				client.read(func(f []byte) { waiting[binary.BigEndian.Uint64(f[8:])] <- struct{}{} })
			})
			ran.Go(func() { server.read(server.append) })
			b.ReportAllocs()
			b.ResetTimer()
			share(b.N, senders, func(sender int) {
				f := wire.Frame{Kind: wire.KindRequest, CallID: uint64(sender), Body: payload}
				var buf [128]byte
				client.append(f.Append(buf[:0]))
				client.flush()
				<-waiting[sender]
			})
			x.Close()
			y.Close()
			ran.Wait()
		})
	}
}

type bare struct {
	nc       net.Conn
	mu       sync.Mutex
	buf      []byte
	spare    []byte
	flushing bool
}

func newBare(nc net.Conn) *bare { return &bare{nc: nc} }

func (r *bare) read(take func(f []byte)) {
	in := bufio.NewReaderSize(r.nc, 64<<10)
	var f [128]byte
	for {
		if _, err := io.ReadFull(in, f[:]); err != nil {
			return
		}
		take(f[:])
		if in.Buffered() < len(f) {
			r.flush()
		}
	}
}

func (r *bare) append(f []byte) {
	r.mu.Lock()
	r.buf = append(r.buf, f...)
	r.mu.Unlock()
}

func (r *bare) flush() {
	r.mu.Lock()
	if r.flushing {
		r.mu.Unlock()
		return
	}
	r.flushing = true
	r.mu.Unlock()
	runtime.Gosched()
	r.mu.Lock()
	for len(r.buf) > 0 {
		out := r.buf
		r.buf = r.spare[:0]
		r.mu.Unlock()
		r.nc.Write(out)
		r.mu.Lock()
		r.spare = out
	}
	r.flushing = false
	r.mu.Unlock()
}

// share does n times what it is told, by so many goroutines.
func share(n, senders int, do func(sender int)) {
	var all sync.WaitGroup
	for sender := range senders {
		count := n / senders
		if sender < n%senders {
			count++
		}
		all.Go(func() {
			for range count {
				do(sender)
			}
		})
	}
	all.Wait()
}
