package stats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// callersOf asks who calls. Lack is in the error; empty: there is none.
func (n *node) callersOf(module, method string, over time.Duration, lack string) []CallerRate {
	n.t.Helper()
	rates, err := n.Callers(module, method, over)
	if lack != "" {
		wantText(n.t, err, lack)
	} else if err != nil {
		n.t.Error(err)
	}
	return rates
}

func TestCallers(t *testing.T) {
	n := at(t, noon.Add(30*time.Second), Options{})
	n.call("web", "pay", "Charge", 60, wire.OK, time.Millisecond) // 12:00
	n.call("app", "pay", "Refund", 6, wire.OK, time.Millisecond)
	n.wait(90)
	n.call("app", "pay", "Charge", 30, wire.OK, time.Millisecond) // 12:02
	n.wait(61)
	n.call("app", "pay", "Charge", 10, wire.OK, time.Millisecond) // 12:03
	n.wait(9)
	// It is 12:03:10.
	minute := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	for _, c := range []struct {
		method string
		over   time.Duration
		lack   string
		want   []CallerRate
	}{
		{"Charge", 9 * time.Second, "", []CallerRate{{"app", 10, 10.0 / 9, 10, minute(3)}}},
		{"Charge", 8 * time.Second, "", []CallerRate{}},
		{"Charge", 80 * time.Second, "", []CallerRate{{"app", 40, 40.0 / 70, 30, minute(3)}}},
		{"Charge", time.Hour, "12:00:30 UTC", []CallerRate{{"web", 60, 60.0 / 160, 60, minute(0)}, {"app", 40, 40.0 / 160, 30, minute(3)}}},
		{"", 24 * time.Hour, "12:00:30 UTC", []CallerRate{{"web", 60, 60.0 / 160, 60, minute(0)}, {"app", 46, 46.0 / 160, 30, minute(3)}}},
		{"None", time.Hour, "12:00:30 UTC", []CallerRate{}},
	} {
		got := n.callersOf("pay", c.method, c.over, c.lack)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s over %v:\n%s", c.method, c.over, diff)
		}
	}
	for range 61 {
		n.jump(time.Minute)
	}
	if got := n.callersOf("pay", "", time.Hour, ""); len(got) != 0 {
		t.Errorf("an hour later: %v", got)
	}
}

// TestCallersBeforeARestart are in the file. Each minute is asked for in each state that it goes through: running, waiting, written.
func TestCallersBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	n := at(t, noon.Add(10*time.Second), Options{Dir: dir})
	n.call("old", "pay", "Charge", 7, wire.OK, time.Millisecond) // 12:00
	n.call("web", "pay", "Refund", 900, wire.OK, time.Millisecond)
	n.call("web", "book", "Lend", 900, wire.OK, time.Millisecond)
	n.wait(60)
	n.call("web", "pay", "Charge", 60, wire.OK, time.Millisecond) // 12:01
	n.to(noon.Add(40 * time.Minute))
	n.call("web", "pay", "Charge", 20, wire.OK, time.Millisecond) // 12:40
	n.wait(10)
	n.stop()

	m := at(t, n.wall.Add(5*time.Second), Options{Dir: dir})
	minute := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	want := func(when string, over time.Duration, span float64, rates ...CallerRate) {
		t.Helper()
		for i := range rates {
			rates[i].PerSecond = float64(rates[i].Calls) / span
		}
		if diff := cmp.Diff(append([]CallerRate{}, rates...), m.callersOf("pay", "Charge", over, "")); diff != "" {
			t.Errorf("%s, over %v:\n%s", when, over, diff)
		}
	}
	web := func(calls, peak uint64, last int) CallerRate {
		return CallerRate{Caller: "web", Calls: calls, PeakMinute: peak, Last: minute(last)}
	}
	old := CallerRate{Caller: "old", Calls: 7, PeakMinute: 7, Last: minute(0)}
	want("right after it", time.Hour, 2415, web(80, 60, 40), old)
	want("right after it", 10*time.Minute, 15, web(20, 20, 40))
	m.call("web", "pay", "Charge", 50, wire.OK, time.Millisecond) // 12:40, too
	want("in the same minute", time.Hour, 2415, web(130, 70, 40), old)
	want("in the same minute", 90*time.Second, 15, web(70, 70, 40))
	m.wait(44)
	m.now, m.wall = m.now+time.Second, m.wall.Add(time.Second)
	m.tick(m.now, m.wall) // 12:41, and what was counted waits
	want("before it is written", time.Hour, 2460, web(130, 70, 40), old)
	m.settle()
	want("when it is written", time.Hour, 2460, web(130, 70, 40), old)
	m.call("web", "pay", "Charge", 5, wire.OK, time.Millisecond) // 12:41
	m.call("app", "pay", "Charge", 1, wire.OK, time.Millisecond)
	app := CallerRate{Caller: "app", Calls: 1, PeakMinute: 1, Last: minute(41)}
	m.wait(60)
	want("a minute later", time.Hour, 2520, web(135, 70, 41), old, app)
	want("a minute later, without the restart", 90*time.Second, 60, web(5, 5, 41), app)
	m.to(minute(60).Add(30 * time.Second))
	want("when the first minute is out of the hour", time.Hour, 59*60+30, web(135, 70, 41), app)
	m.to(minute(101).Add(time.Second))
	want("when the restart is", time.Hour, 3600)
	m.stop()

	// Again started, and again in a minute that has calls.
	k := m.wall
	m = at(t, k, Options{Dir: dir})
	m.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	m.wait(1)
	m.stop()
	m = at(t, k.Add(time.Second), Options{Dir: dir})
	m.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	want("after two more", time.Hour, 2, web(3, 3, 101))
	m.wait(120)
	want("after two more", time.Hour, 122, web(3, 3, 101))
}

// TestCallersReadWhatMemoryDoesNotHave, and nothing when it has all.
func TestCallersReadWhatMemoryDoesNotHave(t *testing.T) {
	dir := t.TempDir()
	n := at(t, noon, Options{Dir: dir})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	n.stop()
	m := at(t, n.wall, Options{Dir: dir})
	m.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	m.wait(60)
	read := func(over time.Duration) int {
		t.Helper()
		found, _, _, err := m.rollups.before(minuteOf(m.wall.Add(time.Minute-1-over)), minuteOf(m.wall), m.whole, 1<<20)
		if err != nil {
			t.Error(err)
		}
		return len(found)
	}
	if got := read(time.Hour); got != 2 {
		t.Errorf("%d minutes are read, want the one before and the one of the start", got)
	}
	m.to(noon.Add(10 * time.Minute))
	if got := read(5 * time.Minute); got != 0 {
		t.Errorf("%d minutes are read, want none", got)
	}
}

// TestCallersAreBoundedInWhatTheyRead: the newest minutes are counted, and an operator hears of the others.
func TestCallersAreBoundedInWhatTheyRead(t *testing.T) {
	dir := t.TempDir()
	n := at(t, noon, Options{Dir: dir})
	for range 10 {
		n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
		n.wait(60)
	}
	n.stop()
	m := at(t, n.wall, Options{Dir: dir, MaxRead: 400})
	got := m.callersOf("pay", "", time.Hour, "calls before 12:0")
	if len(got) != 1 || got[0].Calls == 0 || got[0].Calls > 9 || !got[0].Last.Equal(noon.Add(9*time.Minute)) {
		t.Errorf("got %+v", got)
	}
	if _, err := m.Callers("pay", "", time.Hour); errors.Is(err, ErrUnavailable) {
		t.Errorf("the file is not at fault: %v", err)
	}
}

// TestCallersWithoutTheFile are those in memory, and the error says that they are not all.
func TestCallersWithoutTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := at(t, noon, Options{Dir: dir})
	n.call("web", "pay", "Charge", 9, wire.OK, time.Millisecond)
	n.wait(60)
	n.stop()
	m := at(t, n.wall, Options{Dir: dir})
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	m.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	m.wait(60)
	got, err := m.Callers("pay", "", time.Hour)
	if !errors.Is(err, ErrUnavailable) || len(got) != 1 || got[0].Calls != 2 || got[0].PerSecond != 2.0/60 {
		t.Errorf("got %+v, %v; want what memory has, and ErrUnavailable", got, err)
	}
	wantText(t, err, filepath.Join(dir, "stats.db"), "is not open")
	for question, err := range map[string]error{
		"past":   func() error { _, err := m.Past(t.Context(), Query{From: noon}); return err }(),
		"export": m.Export(t.Context(), nil, noon, time.Time{}),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", question, err)
		}
	}
	if _, err := m.Past(t.Context(), Query{}); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("a question that is wrong: %v, must not be ErrUnavailable", err)
	}
	m.jump(time.Hour) // memory has all of the hour
	m.callersOf("pay", "", 59*time.Minute, "")
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	m.wait(60)
	m.callersOf("pay", "", time.Hour, "")
}

// TestCallersByAClockThatIsSetBack: minutes that come again are counted once, also those that memory has no more.
func TestCallersByAClockThatIsSetBack(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.to(noon.Add(2 * time.Hour))
	n.call("web", "pay", "Charge", 4, wire.OK, time.Millisecond) // 14:00
	n.wait(60)
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond) // 14:01
	n.wait(60)
	n.wall = noon.Add(2 * time.Hour)
	n.wait(1)
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond) // 14:00 again
	for range 40 {
		n.wait(60)
	}
	if got := n.callersOf("pay", "", time.Hour, ""); len(got) != 1 || got[0].Calls != 7 || got[0].PeakMinute != 5 {
		t.Errorf("got %+v", got)
	}
	n.wall = noon.Add(2*time.Hour + 2*time.Minute)
	for range 56 {
		n.wait(60) // memory has 60 minutes, of which the first ones are not among them
	}
	if got := n.callersOf("pay", "", time.Hour, ""); len(got) != 1 || got[0].Calls != 7 {
		t.Errorf("got %+v", got)
	}
}

// TestCallersWithABrokenMinute are those in memory: no part of a file that cannot be read as a whole.
func TestCallersWithABrokenMinute(t *testing.T) {
	dir := t.TempDir()
	n := at(t, noon, Options{Dir: dir})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	n.wait(60)
	err := n.rollups.file.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMinutes).Put(keyOf(noon), []byte("x")) })
	if err != nil {
		t.Fatal(err)
	}
	n.stop()
	m := at(t, n.wall, Options{Dir: dir})
	m.call("app", "pay", "Charge", 4, wire.OK, time.Millisecond)
	got, err := m.Callers("pay", "", time.Hour)
	if !errors.Is(err, ErrUnavailable) || len(got) != 1 || got[0].Caller != "app" {
		t.Errorf("got %+v, %v; want what memory has, and ErrUnavailable", got, err)
	}
	wantText(t, err, "2026-03-14T12:00:00Z: a rollup is broken")
	m.callersOf("pay", "", 70*time.Second, "") // the minute after it is not
}

// TestCallersBySecondAreKnownSinceTheStart: the file has minutes.
func TestCallersBySecondAreKnownSinceTheStart(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.call("web", "pay", "Charge", 4, wire.OK, time.Millisecond)
	n.wait(20)
	if got := n.callersOf("pay", "", 30*time.Second, "calls before its start at 12:00:00 UTC are not counted by seconds"); len(got) != 1 || got[0].Calls != 4 {
		t.Errorf("got %+v", got)
	}
	n.callersOf("pay", "", 20*time.Second, "")
}

// BenchmarkCallersAfterARestart reads as much as Callers reads.
func BenchmarkCallersAfterARestart(b *testing.B) {
	dir := b.TempDir()
	wall, now := noon, time.Hour
	o := Options{Node: "a", Dir: dir, Now: func() time.Duration { return now }, Wall: func() time.Time { return wall }}
	books, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	var meters []governance.Meter
	for i := range 5000 {
		meters = append(meters, books.Meter(governance.Subject{Caller: fmt.Sprint("caller-", i%100), Module: fmt.Sprint("module-", i%7), Method: fmt.Sprint("Method", i)}))
	}
	for range 58 {
		for i, m := range meters {
			for k := range 3 {
				m.Entered()
				m.Started()
				m.Finished(0, time.Duration(i*(k+1))*time.Microsecond)
			}
		}
		now, wall = now+time.Minute, wall.Add(time.Minute)
		books.tick(now, wall)
		books.settle()
	}
	books.Close()
	if books, err = New(o); err != nil {
		b.Fatal(err)
	}
	defer books.Close()
	found, _, left, err := books.rollups.before(noon, wall, wall, maxCallersRead)
	var size int
	for _, one := range found {
		size += len(one.packed)
	}
	b.Logf("%d minutes, %d KiB, left out before %v, %v", len(found), size>>10, left, err)
	for b.Loop() {
		if rates, _ := books.Callers("module-1", "", time.Hour); len(rates) != 100 {
			b.Fatal(len(rates))
		}
	}
}
