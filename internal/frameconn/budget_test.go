package frameconn

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func withBudget(f wire.Frame, ms uint32) wire.Frame {
	f.BudgetMS = ms
	return f
}

func TestTheWriterLowersBudgetsAndTakesBackWhatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(
			withBudget(request(1, 1), 0),     // none
			withBudget(request(2, 1), 1),     // spent, and so it is said
			withBudget(request(3, 1), 300),   // would have nothing left
			withBudget(request(4, 1), 301),   // 1 also means spent
			withBudget(request(5, 1), 302),   //
			withBudget(request(6, 1), 10000), //
			wire.Frame{Kind: wire.KindCancel, CallID: 3, BudgetMS: 7},
			withBudget(response(9, 1), 5),
		)
		late := withBudget(request(7, 1), 200)
		if _, err := a.conn.Send(Requests, &late, true); err != nil {
			t.Fatal(err)
		}
		oneWay := wire.Frame{Kind: wire.KindRequest, Flags: wire.FlagOneWay, BudgetMS: 20}
		a.send(oneWay)
		time.Sleep(250 * time.Millisecond)
		a.send(withBudget(request(8, 1), 1000)) // in the same chunk, and younger
		time.Sleep(50 * time.Millisecond)

		b := a.release(far)
		b.wantFrames(1)
		b.wantSame(
			withBudget(response(9, 1), 5),
			withBudget(request(1, 1), 0), withBudget(request(5, 1), 2), withBudget(request(6, 1), 9700),
			wire.Frame{Kind: wire.KindCancel, CallID: 3, BudgetMS: 7},
			withBudget(request(7, 1), 1), withBudget(request(8, 1), 950),
		)
		if spent := a.spentIDs(); !slices.Equal(spent, []uint64{2, 3, 4}) {
			t.Errorf("%v were said to be spent, want 2, 3 and 4", spent)
		}
		if n := a.conn.Stats().Spent; n != 4 {
			t.Errorf("%d are counted as spent, want 4 with the one-way one", n)
		}
		synctest.Wait()
		a.wantConsistent()
		if n := a.conn.Stats().Queued; n != 0 {
			t.Errorf("%d bytes are still queued", n)
		}
	})
}

func TestFreshChunksKeepTheirBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(withBudget(request(1, 1), 1), withBudget(request(2, 1), 2))
		time.Sleep(fresh - 1)
		b := a.release(far)
		b.wantFrames(1)
		b.wantSame(withBudget(request(1, 1), 1), withBudget(request(2, 1), 2))

		a, far = stuck(t, Options{})
		a.send(withBudget(request(1, 1), 2), withBudget(request(2, 1), 3))
		time.Sleep(fresh)
		b = a.release(far)
		b.wantFrames(1)
		b.wantSame(withBudget(request(2, 1), 2))
	})
}

// A write of answers blocks while requests of the same round wait behind it.
func TestBudgetsAreLoweredRightBeforeTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(response(1, 60<<10), withBudget(request(2, 10<<10), 1000), withBudget(request(3, 10), 150))
		far.read(60<<10 + wire.PrefixSize) // the one in hand; the answer is written next
		time.Sleep(200 * time.Millisecond)
		far.read(60 << 10)
		if !slices.Contains(a.spentIDs(), 3) {
			t.Error("request 3 waited 200 ms behind the answer and had 150: it was sent")
		}
	})
}

func TestLargeRequestsAgeUntilTheirFirstPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(withBudget(request(1, 100<<10), 1000), withBudget(request(2, 100<<10), 100))
		late := withBudget(request(3, 100<<10), 100)
		if _, err := a.conn.Send(Requests, &late, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		b := a.release(far)
		b.wantFrames(1)
		b.wantSame(withBudget(request(1, 100<<10), 700), withBudget(request(3, 100<<10), 1))
		if spent := a.spentIDs(); !slices.Equal(spent, []uint64{2}) {
			t.Errorf("%v were said to be spent, want 2", spent)
		}
		synctest.Wait()
		a.wantConsistent()
	})
}

// The writer has the first part in its hands, behind what is stuck, when the caller cancels, and then the budget is
// spent: the request was not sent, and no CANCEL follows it.
func TestNoCancelFollowsWhatWasSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
		a := newSide(t, x, Options{})
		a.send(request(1, 60<<10), withBudget(request(2, 100<<10), 100))
		a.run()
		synctest.Wait()
		a.wantTakenBack(2, false)
		time.Sleep(time.Second)
		b := a.release(y)
		b.wantSame(request(1, 60<<10))
		synctest.Wait()
		if len(b.frames) != 0 {
			t.Errorf("%s came", describe(b.frames[0]))
		}
		if spent := a.spentIDs(); !slices.Equal(spent, []uint64{2}) {
			t.Errorf("%v were said to be spent, want 2", spent)
		}
	})
}
