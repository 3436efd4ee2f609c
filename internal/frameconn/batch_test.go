//go:build unix

package frameconn

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// inOneBatch gives a side n requests of which one read takes all, and returns the far end.
func inOneBatch(t *testing.T, n int, onFrame func(s *side, f *wire.Frame)) (*side, io.Reader) {
	t.Helper()
	x, y := tcpPair(t)
	t.Cleanup(func() { x.Close() })
	stream := []byte(wire.Preface)
	for i := range n {
		f := request(uint64(i+1), 0)
		stream = f.Append(stream)
	}
	if _, err := x.Write(stream); err != nil {
		t.Fatal(err)
	}
	s := newSide(t, y, Options{Accepts: true})
	s.onFrame = func(f *wire.Frame) error {
		onFrame(s, f)
		return nil
	}
	return s.run(), x
}

// What others queue and flush while the reader hands over goes in one write at the batch's end.
func TestABatchIsOneWrite(t *testing.T) {
	const frames, senders = 3, 5
	answer := response(1, 10)
	s, far := inOneBatch(t, frames, func(s *side, _ *wire.Frame) {
		var others sync.WaitGroup
		for range senders {
			others.Go(func() {
				wake, err := s.conn.Send(Answers, &answer, false)
				if wake || err != nil {
					s.t.Errorf("Send: %t, %v", wake, err)
				}
				s.conn.Flush()
			})
		}
		others.Wait()
		if writes := s.conn.Stats().Writes; writes != 0 {
			s.t.Errorf("%d writes before the batch's end", writes)
		}
	})
	if _, err := io.ReadFull(far, make([]byte, frames*senders*answer.Size())); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the writer to end", func() bool { return s.writerState() == idle })
	if writes := s.conn.Stats().Writes; writes != 1 {
		t.Errorf("%d writes for %d answers, want 1", writes, frames*senders)
	}
}

// Who was told to flush before a batch began may do so in it: the reader writes at its end.
func TestAFlushInABatchIsTheReaders(t *testing.T) {
	a, b := tcpSides(t)
	early, late := response(1, 10), response(2, 10)
	b.onFrame = func(*wire.Frame) error {
		before := b.conn.Stats().Writes
		b.queue(late)
		b.conn.Flush()
		b.conn.FlushSoon()
		if writes := b.conn.Stats().Writes - before; writes != 0 {
			t.Errorf("%d writes before the batch's end", writes)
		}
		return nil
	}
	a.run()
	b.run().waitFor("the first batch to end", func() bool { return b.batchEnds() > 0 && !b.inBatch() })
	if wake, err := b.conn.Send(Answers, &early, false); !wake || err != nil {
		t.Fatalf("Send: %t, %v", wake, err)
	}
	a.send(request(1, 0))
	a.wantSame(early, late)
}

// tcpSides returns two sides over TCP that do not run.
func tcpSides(t *testing.T) (a, b *side) {
	t.Helper()
	x, y := tcpPair(t)
	return newSide(t, x, Options{}), newSide(t, y, Options{Accepts: true})
}

func (s *side) inBatch() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.batch
}

func (s *side) batchEnds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// A batch whose answers would fill the queue, or that takes long, is not written at its end alone.
func TestALongBatchIsSplit(t *testing.T) {
	for name, test := range map[string]struct {
		answer int // bytes
		slow   bool
	}{
		"much": {answer: 8 << 10},
		"slow": {answer: 10, slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			const frames = fewFrames + 4
			size := 0
			s, far := inOneBatch(t, frames, func(s *side, f *wire.Frame) {
				writes := s.conn.Stats().Writes
				switch {
				case f.CallID <= fewFrames && writes != 0:
					s.t.Errorf("%d writes before answer %d", writes, f.CallID)
				case f.CallID > fewFrames && writes == 0:
					s.t.Errorf("nothing was written before answer %d", f.CallID)
				}
				answer := response(f.CallID, test.answer)
				s.queue(answer)
				size += answer.Size()
				if began := s.conn.Now(); test.slow {
					s.waitFor("time to pass", func() bool { return s.conn.clock.Now()-began > fresh })
				}
			})
			s.wantFrames(frames)
			if _, err := io.ReadFull(far, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A batch that takes long holds up nobody: who comes to it writes all that was queued in it.
func TestWhoComesToALongBatchFlushes(t *testing.T) {
	a, b := tcpSides(t)
	answers := []wire.Frame{response(1, 10), response(2, 10), response(3, 10)}
	b.onFrame = func(*wire.Frame) error {
		send := func(f *wire.Frame) (wake bool) {
			wake, err := b.conn.Send(Answers, f, false)
			if err != nil {
				t.Error(err)
			}
			return wake
		}
		if send(&answers[0]) {
			t.Error("who came at the batch's beginning is to flush")
		}
		b.conn.mu.Lock()
		b.conn.batchAt -= fresh
		b.conn.mu.Unlock()
		if !send(&answers[1]) {
			t.Error("who came later is not to flush")
		}
		before := b.conn.Stats().Writes
		b.conn.Flush()
		if writes := b.conn.Stats().Writes - before; writes != 1 {
			t.Errorf("%d writes, want 1 of both answers", writes)
		}
		send(&answers[2])
		return nil
	}
	a.run()
	b.run()
	a.send(request(1, 0))
	a.wantSame(answers...)
}

// What comes to a chunk that has been waiting is as old as it is itself where its budget depends on it.
func TestRequestsOfOneChunkHaveTheirOwnAge(t *testing.T) {
	x, _ := tcpPair(t)
	c := New(x, Options{Accepts: true})
	c.mu.Lock()
	c.writer = idle
	c.mu.Unlock()
	first, second := request(1, 0), request(2, 0)
	if _, err := c.Send(Requests, &first, false); err != nil {
		t.Fatal(err)
	}
	const waited = 300 * time.Millisecond
	c.mu.Lock()
	ch := c.lanes[Requests].chunks[0]
	ch.at -= waited
	ch.records[0].at -= waited
	c.mu.Unlock()
	if _, err := c.Send(Requests, &second, false); err != nil {
		t.Fatal(err)
	}
	if between := ch.records[1].at - ch.records[0].at; len(ch.records) != 2 || between < waited {
		t.Errorf("%d requests, %v between them; want 2 and %v at least", len(ch.records), between, waited)
	}
}
