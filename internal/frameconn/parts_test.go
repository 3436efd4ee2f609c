package frameconn

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// part returns a PART of a message of the kind.
func part(k wire.Kind, id uint64, more bool, body string) wire.Frame {
	f := wire.Frame{Kind: wire.KindPart, CallID: id, Status: wire.Code(k), Body: []byte(body)}
	if more {
		f.Flags = wire.FlagMore
	}
	return f
}

// first returns the first part of a message of the kind.
func first(k wire.Kind, id uint64, body string) wire.Frame {
	return wire.Frame{Kind: k, Flags: wire.FlagMore, CallID: id, RPCID: 5, Header: []byte("header"), Body: []byte(body)}
}

func joined(k wire.Kind, id uint64, body string) wire.Frame {
	f := first(k, id, body)
	f.Flags = 0
	return f
}

// A PING pong between frames shows that nothing else came before.
func TestPartsAreJoined(t *testing.T) {
	const req, res = wire.KindRequest, wire.KindResponse
	tests := []struct {
		name     string
		in, want []wire.Frame
	}{
		{"two", []wire.Frame{first(req, 1, "ab"), part(req, 1, false, "cd")}, []wire.Frame{joined(req, 1, "abcd")}},
		{"three, one empty", []wire.Frame{first(res, 1, "ab"), part(res, 1, true, ""), part(res, 1, false, "e")},
			[]wire.Frame{joined(res, 1, "abe")}},
		{"interleaved with small ones", []wire.Frame{first(req, 1, "ab"), joined(req, 2, "x"), part(req, 1, false, "cd")},
			[]wire.Frame{joined(req, 2, "x"), joined(req, 1, "abcd")}},
		{"interleaved with each other", []wire.Frame{
			first(req, 1, "a"), first(req, 2, "b"), part(req, 1, true, "c"), part(req, 2, false, "d"), part(req, 1, false, "e"),
		}, []wire.Frame{joined(req, 2, "bd"), joined(req, 1, "ace")}},
		{"a request and an answer with the same id", []wire.Frame{
			first(req, 1, "a"), first(res, 1, "b"), part(res, 1, false, "c"), part(req, 1, false, "d"),
		}, []wire.Frame{joined(res, 1, "bc"), joined(req, 1, "ad")}},
		{"an id again", []wire.Frame{first(req, 1, "a"), part(req, 1, false, "b"), first(req, 1, "c"), part(req, 1, false, "d")},
			[]wire.Frame{joined(req, 1, "ab"), joined(req, 1, "cd")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw, s := rawAndSide(t, Options{})
			stream := []byte(wire.Preface)
			for _, f := range test.in {
				stream = f.Append(stream)
			}
			raw.conn.nc.Write(stream)
			raw.conn.nc.(*testkit.PipeConn).CloseWrite()
			s.wantCause(io.EOF)
			s.wantSame(test.want...)
			if len(s.conn.joining) != 0 || len(s.frames) != 0 {
				t.Error("something is left over")
			}
		})
	}
}

func TestMisuseOfPartsEndsTheConnection(t *testing.T) {
	const req, res = wire.KindRequest, wire.KindResponse
	withHeader := part(req, 1, false, "b")
	withHeader.Header = []byte("h")
	of275 := part(req, 1, false, "b")
	of275.Status = wire.Code(256 + int(req))
	tests := []struct {
		name string
		code wire.Code
		in   []wire.Frame
	}{
		{"of nothing", wire.BadRequest, []wire.Frame{part(req, 1, false, "a")}},
		{"of another call", wire.BadRequest, []wire.Frame{first(req, 1, "a"), part(req, 2, false, "b")}},
		{"of another kind", wire.BadRequest, []wire.Frame{first(req, 1, "a"), part(res, 1, false, "b")}},
		{"of a kind beyond 255", wire.BadRequest, []wire.Frame{first(req, 1, "a"), of275}},
		{"after the last", wire.BadRequest, []wire.Frame{first(req, 1, "a"), part(req, 1, false, "b"), part(req, 1, false, "c")}},
		{"opened twice", wire.BadRequest, []wire.Frame{first(req, 1, "a"), first(req, 1, "b")}},
		{"with a header", wire.BadRequest, []wire.Frame{first(req, 1, "a"), withHeader}},
		{"a fifth", wire.BadRequest, []wire.Frame{
			first(req, 1, "a"), first(res, 1, "a"), first(req, 2, "a"), first(req, 3, "a"), first(req, 4, "a"),
		}},
		{"two one-way", wire.BadRequest, []wire.Frame{first(req, 0, "a"), first(req, 0, "b")}},
		{"too large at once", wire.TooLarge, []wire.Frame{first(req, 1, string(pattern(101)))}},
		{"too large by and by", wire.TooLarge, []wire.Frame{first(req, 1, "a"), part(req, 1, true, string(pattern(93))), part(req, 1, true, "b")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw, s := rawAndSide(t, Options{MaxMessage: 100})
			raw.conn.nc.Write([]byte(wire.Preface))
			for _, f := range test.in {
				raw.conn.nc.Write(f.Append(nil))
			}
			s.wantBreach(test.code)
			if bye := raw.wantFrames(1)[0]; bye.Kind != wire.KindGoaway {
				t.Errorf("the farewell is %s, want GOAWAY", bye.Kind)
			}
		})
	}
}

func TestOpenMessagesHoldABoundedSum(t *testing.T) {
	raw, s := rawAndSide(t, Options{MaxMessage: 20 << 20})
	stream := []byte(wire.Preface)
	block := string(pattern(1 << 19))
	for id := range uint64(2) {
		f := first(wire.KindRequest, id+1, block)
		stream = f.Append(stream)
	}
	for range 31 {
		for id := range uint64(2) {
			f := part(wire.KindRequest, id+1, true, block)
			stream = f.Append(stream)
		}
	}
	raw.conn.nc.Write(stream) // 32 MiB, and two headers
	if breach := s.wantBreach(wire.TooLarge); breach.Reason == "" {
		t.Error("no reason is given")
	}
}

func TestAnUnfinishedMessageEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, s := rawAndSide(t, Options{})
		nc := raw.conn.nc
		start := time.Now()
		nc.Write([]byte(wire.Preface))
		send := func(f wire.Frame) { nc.Write(f.Append(nil)) }

		send(first(wire.KindRequest, 1, "a"))
		time.Sleep(20 * time.Second)
		send(first(wire.KindRequest, 2, "a"))
		time.Sleep(9 * time.Second)
		send(part(wire.KindRequest, 1, false, "b")) // after 29 s: in time
		s.wantSame(joined(wire.KindRequest, 1, "ab"))
		time.Sleep(20 * time.Second)
		send(part(wire.KindRequest, 2, true, "b"))
		s.wantBreach(wire.BadRequest)
		if took := time.Since(start); took != 50*time.Second {
			t.Errorf("the second message lasted until %v, want 20 s + 30 s", took)
		}
		if bye := raw.wantFrames(1)[0]; bye.Kind != wire.KindGoaway {
			t.Errorf("the farewell is %s, want GOAWAY", bye.Kind)
		}
	})
}

// The read deadline that ended it does not cut the farewell short.
func TestTheFarewellOfAnUnfinishedMessageIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		s := newSide(t, y, Options{Accepts: true}).run()
		x.Write(stream(first(wire.KindRequest, 1, "a")))
		<-s.conn.Done()
		time.Sleep(lingerTime - 1)
		select {
		case <-s.ran:
			t.Error("the connection was closed before the other side could read why")
		default:
		}
		x.Close()
		s.wantBreach(wire.BadRequest)
	})
}

func TestNoReadDeadlineIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
		a.send(request(1, 1<<20))
		b.wantFrames(1)
		time.Sleep(time.Hour)
		a.send(request(2, 1))
		b.wantFrames(1)
	})
}

// The sender keeps to the bounds that the receiver holds it to.
func TestManyLargeMessagesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		a, b := newSide(t, x, Options{Queue: 200 << 20}), newSide(t, y, Options{Accepts: true}).run()
		want := make(map[uint64]int)
		for id := range uint64(6) {
			want[id+1] = 100<<10 + int(id)
			a.send(request(id+1, want[id+1]), response(id+1, 300<<10))
		}
		want[20], want[21], want[22] = 15<<20, 15<<20, 15<<20
		for id := range uint64(3) {
			a.send(request(20+id, 15<<20))
			a.send(wire.Frame{Kind: wire.KindRequest, Flags: wire.FlagOneWay, Body: pattern(100 << 10)})
		}
		a.run()
		answers, oneWay := 0, 0
		for _, f := range b.wantFrames(6 + 6 + 3 + 3) {
			switch {
			case f.Kind == wire.KindResponse:
				answers++
				if !sameFrame(f, response(f.CallID, 300<<10)) {
					t.Errorf("answer %d came broken", f.CallID)
				}
			case f.CallID == 0:
				oneWay++
			default:
				if !sameFrame(f, request(f.CallID, want[f.CallID])) {
					t.Errorf("request %d came broken", f.CallID)
				}
				delete(want, f.CallID)
			}
		}
		if answers != 6 || oneWay != 3 || len(want) != 0 {
			t.Errorf("%d answers and %d one-way requests came, %d requests did not", answers, oneWay, len(want))
		}
	})
}

func TestSmallMessagesGoBetweenParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, far := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
		a := newSide(t, x, Options{Queue: 64 << 20}).run()
		a.send(request(1, 10<<20))
		synctest.Wait()
		a.send(request(2, 1), response(3, 1), request(4, 200<<10)) // and parts take turns
		b := a.release(far)
		b.wantSame(response(3, 1), request(2, 1), request(4, 200<<10), request(1, 10<<20))
	})
}

// A joined message has been here since its first part.
func TestPartsArriveWithTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		s := newSide(t, y, Options{Accepts: true})
		var waited []time.Duration
		s.onFrame = func(*wire.Frame) error {
			waited = append(waited, s.conn.Now()-s.conn.Arrived())
			return nil
		}
		s.run()
		x.Write([]byte(wire.Preface))
		send := func(f wire.Frame) { x.Write(f.Append(nil)) }
		time.Sleep(time.Second)
		send(first(wire.KindRequest, 1, "a"))
		time.Sleep(time.Second)
		send(part(wire.KindRequest, 1, false, "b"))
		time.Sleep(time.Second)
		send(joined(wire.KindRequest, 2, "x"))
		s.wantFrames(2)
		if waited[0] != time.Second || waited[1] != 0 {
			t.Errorf("the messages waited %v, want 1 s and 0", waited)
		}
	})
}
