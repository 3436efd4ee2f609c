package frameconn

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// After a breach what was answered still goes, the farewell is the last frame, and requests that have not left never do.
func TestTheFarewellIsTheLastFrame(t *testing.T) {
	other, nc := testkit.Pipe(testkit.PipeOptions{Buffer: 64})
	s := newSide(t, nc, Options{Accepts: true}).run()
	write := func(b string) {
		t.Helper()
		if _, err := io.WriteString(other, b); err != nil {
			t.Fatal(err)
		}
	}
	write(wire.Preface)
	s.send(response(1, 200))
	first := make([]byte, 1)
	if _, err := other.Read(first); err != nil { // the writer has begun, and is stuck
		t.Fatal(err)
	}
	s.send(request(2, 10), response(3, 10), request(4, wire.PartSize*3))
	write("\x00\x00\x00\x00") // a frame of no length
	<-s.conn.Done()
	rest, err := io.ReadAll(other)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	<-s.ran
	var got []wire.Kind
	for b := slices.Concat(first, rest); len(b) > 0; {
		f, n, err := wire.Decode(b, wire.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		got, b = append(got, f.Kind), b[n:]
	}
	if want := []wire.Kind{wire.KindResponse, wire.KindResponse, wire.KindGoaway}; !slices.Equal(got, want) {
		t.Errorf("the other side got %v, want %v", got, want)
	}
	var unsent []uint64
	s.conn.EachUnsent(func(id uint64) { unsent = append(unsent, id) })
	slices.Sort(unsent)
	if !slices.Equal(unsent, []uint64{2, 4}) {
		t.Errorf("unsent are %v, want 2 and 4", unsent)
	}
}

// What may not come is refused before anything is kept of it, and what is skipped is not looked into.
func TestVetSeesEveryFrameFirst(t *testing.T) {
	errNo := &wire.Error{Code: wire.Denied, Reason: "not now"}
	for _, kind := range []wire.Kind{wire.KindPing, wire.KindPart, wire.KindRequest, 200} {
		other, nc := testkit.Pipe(testkit.PipeOptions{})
		var seen []wire.Kind
		s := newSide(t, nc, Options{Accepts: true, Vet: func(f *wire.Frame) error {
			seen = append(seen, f.Kind)
			return errNo
		}}).run()
		f := wire.Frame{Kind: kind, Flags: wire.FlagMore, CallID: 7}
		if _, err := other.Write(f.Append([]byte(wire.Preface))); err != nil {
			t.Fatal(err)
		}
		<-s.conn.Done()
		other.Close()
		<-s.ran
		if !errors.Is(s.cause, error(errNo)) || !slices.Equal(seen, []wire.Kind{kind}) {
			t.Errorf("%s: vet saw %v, the connection ended with %v", kind, seen, s.cause)
		}
	}
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	skipped := wire.Frame{Kind: 200, Flags: wire.FlagMore}
	a.send(skipped, request(1, 1))
	b.wantSame(skipped, request(1, 1))
}
