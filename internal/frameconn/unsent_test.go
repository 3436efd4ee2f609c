package frameconn

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

var errBroken = errors.New("broken on purpose")

// For every number of bytes that the network takes before it fails, unsent are exactly the requests whose last byte
// lies beyond. All lanes are written in one round, so that the stream is known: control, answers, requests, and the
// parts of the large one.
func TestUnsentAtEveryByte(t *testing.T) {
	frames := []wire.Frame{
		request(1, 10), request(2, 0), {Kind: wire.KindCancel, CallID: 1}, request(3, 30),
		{Kind: wire.KindRequest, Flags: wire.FlagOneWay, Body: pattern(9)},
		response(4, 20), control(wire.KindPolicy), request(5, 3),
	}
	stream := []byte(wire.Preface)
	last := make(map[uint64]int) // offset of a request's last byte
	for _, lane := range []Lane{Control, Answers, Requests} {
		for _, f := range frames {
			if laneOf(f.Kind) != lane {
				continue
			}
			stream = f.Append(stream)
			if f.Kind == wire.KindRequest && f.CallID != 0 {
				last[f.CallID] = len(stream)
			}
		}
	}
	for n := range stream {
		want := wantUnsent(last, n)
		x, _ := testkit.Pipe(testkit.PipeOptions{})
		x.FailWriteAfter(n, errBroken)
		a := newSide(t, x, Options{})
		for _, f := range frames {
			a.send(f)
		}
		a.run()
		a.wantCause(errBroken)
		if got := a.unsent(); !slices.Equal(got, want) {
			t.Fatalf("after %d bytes %v are unsent, want %v", n, got, want)
		}
		a.conn.EachUnsent(func(id uint64) { t.Errorf("%d is listed twice", id) })
	}
}

func wantUnsent(last map[uint64]int, n int) []uint64 {
	var want []uint64
	for id, end := range last {
		if end > n {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	return want
}

// The same with small and large requests over several rounds: where the requests end in the stream is learnt from a run
// that does not fail.
func TestUnsentOfLargeRequests(t *testing.T) {
	frames := []wire.Frame{
		request(1, 150<<10), request(2, 10), request(3, 70<<10), request(4, 50<<10), request(5, 40<<10), response(6, 60<<10),
	}
	run := func(t *testing.T, n int, fail error) (*side, *testkit.PipeConn) {
		x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 20})
		x.FailWriteAfter(n, fail)
		a := newSide(t, x, Options{})
		for _, f := range frames {
			a.send(f)
		}
		return a.run(), y
	}

	last := make(map[uint64]int)
	size := 0
	synctest.Test(t, func(t *testing.T) {
		_, y := run(t, 1<<20, nil)
		synctest.Wait()
		stream := make([]byte, 1<<20)
		total, _ := y.Read(stream)
		for size = len(wire.Preface); size < total; {
			f, n, err := wire.Decode(stream[size:total], wire.MaxFrame)
			if err != nil {
				t.Fatal(err)
			}
			size += n
			if f.Flags&wire.FlagMore == 0 && (f.Kind == wire.KindRequest || f.Kind == wire.KindPart) {
				last[f.CallID] = size
			}
		}
	})
	if len(last) != 5 {
		t.Fatalf("%d requests were sent, want 5", len(last))
	}
	var cuts []int
	for _, end := range last {
		cuts = append(cuts, end-1, end, end+1)
	}
	for n := 0; n < size; n += 4999 {
		cuts = append(cuts, n)
	}
	for _, n := range cuts {
		if n >= size {
			continue // nothing fails
		}
		a, _ := run(t, n, errBroken)
		a.wantCause(errBroken)
		if got, want := a.unsent(), wantUnsent(last, n); !slices.Equal(got, want) {
			t.Fatalf("after %d bytes %v are unsent, want %v", n, got, want)
		}
	}
}

func TestWhatWasTakenBackIsNotUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(request(1, 1), request(2, 1), request(3, 1), request(4, 100<<10), request(5, 100<<10))
		a.wantTakenBack(2, true)
		a.wantTakenBack(4, true)
		far.Close()
		if got := a.unsent(); !slices.Equal(got, []uint64{1, 3, 5, stuckID}) {
			t.Errorf("%v are unsent, want 1, 3, 5 and the stuck one", got)
		}
		a.wantConsistent()
		if _, wake := a.conn.Cancel(1, wire.Timeout); wake {
			t.Error("Cancel after the end says wake")
		}
	})
}

func TestWhatWasSentIsNotUnsent(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	a.send(request(1, 1), request(2, 200<<10))
	b.wantFrames(2)
	a.conn.Close(nil)
	if got := a.unsent(); len(got) != 0 {
		t.Errorf("%v came and are unsent", got)
	}
}

// A slow reader costs the connection, and what it did not take is unsent.
func TestSlowReaderEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := stuck(t, Options{WriteTimeout: 2 * time.Second})
		a.send(request(1, 1))
		start := time.Now()
		a.wantCause(ErrSlow)
		if took := time.Since(start); took < 2*time.Second || took > 2*time.Second+sloppy {
			t.Errorf("it took %v", took)
		}
		if got := a.unsent(); !slices.Equal(got, []uint64{1, stuckID}) {
			t.Errorf("%v are unsent, want 1 and the stuck one", got)
		}
	})
}

// The deadline of one write is not left standing for a later one.
func TestWriteDeadlineIsOfTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
		for i := range uint64(20) {
			time.Sleep(400 * time.Millisecond)
			a.send(request(i, 1))
			b.wantFrames(1)
		}
		time.Sleep(time.Hour)
		a.send(request(1, 1))
		b.wantFrames(1)
	})
}
