package stats

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twohop/twohop/proto/wire"
)

// past returns the rows of a question that is answered.
func (n *node) past(q Query) []Row {
	n.t.Helper()
	rows, err := n.Past(n.t.Context(), q)
	if err != nil {
		n.t.Errorf("%+v: %v", q, err)
	}
	return rows
}

// entered lists when how much has entered.
func entered(rows []Row) string {
	text := ""
	for _, r := range rows {
		text += fmt.Sprintf("%s %d, ", r.Time.Format("02 15:04"), r.Entered)
	}
	return text
}

// TestThePastOverBoundaries: minutes, hours and days end, the node is started again, and each call is found where it was.
func TestThePastOverBoundaries(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2026, 12, 31, 22, 58, 30, 0, time.UTC)
	n := at(t, start, Options{Dir: dir})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond) // 22:58
	n.wait(60)
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond) // 22:59
	n.wait(60)
	n.call("app", "pay", "Charge", 4, wire.Timeout, time.Second) // 23:00
	n.to(time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC))
	n.call("web", "pay", "Charge", 8, wire.OK, time.Millisecond) // 23:59
	n.wait(60)
	n.call("web", "pay", "Charge", 16, wire.OK, time.Millisecond) // 00:00 of the next year
	n.wait(10)
	if _, hours := n.kept(); hours != 2 {
		t.Errorf("%d hours are made, and 2 are over", hours)
	}
	n.stop() // in the middle of the minute

	m := at(t, n.wall, Options{Dir: dir})
	m.call("web", "pay", "Charge", 32, wire.OK, time.Millisecond) // 00:00 again
	m.wait(60)
	if _, hours := m.kept(); hours != 2 {
		t.Errorf("%d hours are made, and the third is not over", hours)
	}
	m.call("web", "pay", "Charge", 64, wire.OK, time.Millisecond) // 00:01, which is running

	if got, want := entered(m.past(Query{From: start, Step: time.Minute, Sort: SortName})), "31 22:58 1, 31 22:59 2, 31 23:00 4, 31 23:59 8, 01 00:00 48, "; got != want {
		t.Errorf("by minutes: %s, want %s", got, want)
	}
	if got, want := entered(m.past(Query{From: start, Step: time.Hour, Sort: SortName})), "31 22:00 3, 31 23:00 12, 01 00:00 48, "; got != want {
		t.Errorf("by hours: %s, want %s", got, want)
	}
	if got, want := entered(m.past(Query{From: start, Step: 24 * time.Hour, Sort: SortName})), "31 00:00 15, 01 00:00 48, "; got != want {
		t.Errorf("by days: %s, want %s", got, want)
	}
	row := one(t, m.past(Query{From: start, By: ByModule}))
	if row.Entered != 63 || row.Classes["unknown"] != 4 || row.Over != 63*60 || !row.Time.Equal(minuteOf(start)) {
		t.Errorf("in all: %+v", row)
	}
	if row := one(t, m.past(Query{From: start, To: noon.AddDate(1, 0, 0), By: ByCaller, Caller: "app"})); row.Entered != 4 || row.P99US < 875000 || row.P99US > 1125000 {
		t.Errorf("of one caller: %+v", row)
	}
	if row := one(t, m.past(Query{From: start.Add(time.Minute), To: start.Add(time.Hour), By: ByCaller, Caller: "web"})); row.Entered != 2 {
		t.Errorf("in a part of the time: %+v", row)
	}
	// The hours that are over are on disk, and nothing is counted twice with them.
	hour := time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)
	if row := one(t, m.past(Query{From: hour, To: hour.Add(time.Hour), By: ByNothing})); row.Entered != 12 {
		t.Errorf("a full hour: %+v", row)
	}
	m.stop()
}

// TestHoursAreTheirMinutes: whatever is asked, hours give what minutes give.
func TestHoursAreTheirMinutes(t *testing.T) {
	n := at(t, noon.Add(-30*time.Minute), Options{Dir: t.TempDir()})
	for i := range 150 {
		n.call(fmt.Sprint("c", i%3), "pay", fmt.Sprint("M", i%2), i%7+1, wire.Code(i%4*32), time.Duration(1<<(i%20))*time.Microsecond)
		n.jump(time.Minute)
	}
	q := Query{From: noon, To: noon.Add(2 * time.Hour), By: ByCallerMethod}
	byHours := n.past(q)
	minutes, err := n.rollups.read(q.From, q.To, true, n.wall, 1<<40)
	if err != nil || len(minutes) != 2 {
		t.Fatalf("read %d rollups, want the 2 hours: %v", len(minutes), err)
	}
	q.Step = time.Minute
	var byMinutes []Row
	for _, r := range n.past(q) {
		r.Time = noon
		byMinutes = append(byMinutes, r)
	}
	byMinutes = Query{}.Arrange(Merge(byMinutes))
	for i := range byMinutes {
		byMinutes[i].Over, byMinutes[i].Nodes = 7200, 1
	}
	if diff := cmp.Diff(byHours, byMinutes); diff != "" || len(byHours) != 6 {
		t.Errorf("%d rows: %s", len(byHours), diff)
	}
}

// TestAMinuteThatIsWrittenMeanwhile is found once, by who saw it waiting before it saw the file.
func TestAMinuteThatIsWrittenMeanwhile(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(59)
	n.now, n.wall = n.now+time.Second, n.wall.Add(time.Second)
	n.tick(n.now, n.wall)
	waiting := n.rollups.snapshot()
	if row := one(t, n.past(Query{From: noon})); row.Entered != 1 || len(waiting) != 1 {
		t.Errorf("before it is written: %d, want 1", row.Entered)
	}
	n.settle()
	n.rollups.pending = waiting
	if row := one(t, n.past(Query{From: noon})); row.Entered != 1 {
		t.Errorf("when it is written: %d, want 1", row.Entered)
	}
}

func TestAClockThatIsSetBack(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.to(noon.Add(time.Hour + time.Minute)) // the hour is made
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	n.wait(60)
	n.wall = noon.Add(-time.Second)
	n.wait(1)
	n.call("web", "pay", "Charge", 4, wire.OK, time.Millisecond) // 12:00 again
	n.wait(60)
	n.wall = noon.Add(3 * time.Hour)
	n.wait(1)
	if got, want := entered(n.past(Query{From: noon, Step: time.Minute, Sort: SortName})), "14 12:00 5, 14 13:01 2, "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := entered(n.past(Query{From: noon, Step: time.Hour, Sort: SortName})), "14 12:00 5, 14 13:00 2, "; got != want {
		t.Errorf("by hours: %s, want %s", got, want)
	}
	n.check()
}

// TestRetention: minutes are there for 8 days, hours for 90, and then nothing is left in the file.
func TestRetention(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	n.wait(60)
	n.to(noon.Add(KeepMinutes))
	if got, want := entered(n.past(Query{From: noon, Step: time.Minute, Sort: SortName})), "14 12:00 1, 14 12:01 2, "; got != want {
		t.Errorf("after 8 days: %s, want %s", got, want)
	}
	n.jump(2 * time.Minute)
	_, err := n.Past(t.Context(), Query{From: noon, Step: time.Minute})
	wantText(t, err, "step: is 1m0s, must be full hours for a time before 2026-03-14T12:02:00Z", "8 days")
	if err := n.Export(t.Context(), nil, noon, time.Time{}); err == nil || !contains(err.Error(), "from: is 2026-03-14T12:00:00Z, must be 2026-03-14T12:02:00Z or later") {
		t.Errorf("an export of it: %v", err)
	}
	if minutes, hours := n.kept(); minutes != 0 || hours != 1 {
		t.Errorf("%d minutes and %d hours are kept, want 0 and 1", minutes, hours)
	}
	row := one(t, n.past(Query{From: noon.Add(time.Minute)}))
	if row.Entered != 3 || !row.Time.Equal(noon) {
		t.Errorf("rounded to its hour: %+v", row)
	}
	n.to(noon.Add(KeepHours))
	if row := one(t, n.past(Query{From: noon})); row.Entered != 3 {
		t.Errorf("after 90 days: %+v", row)
	}
	n.jump(time.Hour)
	_, err = n.Past(t.Context(), Query{From: noon})
	wantText(t, err, "from: is 2026-03-14T12:00:00Z, must be 2026-03-14T13:00:00Z or later", "90 days")
	if minutes, hours := n.kept(); minutes != 0 || hours != 0 {
		t.Errorf("%d minutes and %d hours are kept, want none", minutes, hours)
	}
}

// TestAWrongClockDoesNotRemoveEverything: a wall clock that is years ahead for a minute.
func TestAWrongClockDoesNotRemoveEverything(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	for range 200 {
		n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
		n.jump(time.Minute)
	}
	back := n.wall
	n.wall = n.wall.AddDate(3, 0, 0)
	n.jump(time.Minute)
	n.wall = back
	n.jump(time.Minute)
	if minutes, _ := n.kept(); minutes < 200-2*pruneAtOnce {
		t.Errorf("%d of 200 minutes are left", minutes)
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir(), MaxRead: 100})
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "from: is missing"},
		{Query{From: noon, To: noon.Add(-time.Hour)}, "from: is 2026-03-14T12:00:00Z, must be before to, which is 2026-03-14T11:00:00Z"},
		{Query{From: noon.Add(-91 * 24 * time.Hour)}, "90 days"},
		{Query{From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}, "is not past"},
		{Query{From: noon.Add(-time.Hour), Step: time.Second}, "step: is 1s, must be whole minutes"},
		{Query{From: noon.Add(-time.Hour), By: "x", Sort: "y", Limit: -1}, `by: is "x"`},
		{Query{From: noon.Add(-time.Hour), By: "x", Sort: "y", Limit: -1}, `sort: is "y"`},
		{Query{From: noon.Add(-time.Hour), By: "x", Sort: "y", Limit: -1}, `limit: is -1`},
	} {
		_, err := n.Past(t.Context(), c.q)
		wantText(t, err, c.want)
	}
	for range 3 {
		n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
		n.wait(60)
	}
	_, err := n.Past(t.Context(), Query{From: noon})
	wantText(t, err, "would read 1 MiB of rollups", "ask for a shorter time")
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := n.Past(ended, Query{From: noon.Add(2 * time.Minute), To: noon.Add(3 * time.Minute)}); err == nil {
		t.Error("a question whose asker is gone is answered")
	}
	memory := at(t, noon, Options{})
	_, err = memory.Past(t.Context(), Query{From: noon.Add(-2 * time.Hour)})
	wantText(t, err, "must be 2026-03-14T11:00:00Z or later", "in memory")
}

func TestWithoutAFolderTheLastHourIsKept(t *testing.T) {
	n := at(t, noon, Options{})
	for range 100 {
		n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
		n.wait(60)
	}
	if row := one(t, n.past(Query{From: n.wall.Add(-time.Hour)})); row.Entered != 60 {
		t.Errorf("entered %d, want 60", row.Entered)
	}
	if len(n.Troubles()) != 0 || n.rollups.lost != 0 {
		t.Errorf("troubles: %v", n.Troubles())
	}
}

// TestRowsOfNodesAddUp: three nodes that count a part each say together what one says that counts all, live and of the past, and
// over JSON.
func TestRowsOfNodesAddUp(t *testing.T) {
	all, nodes := at(t, noon, Options{}), []*node{at(t, noon, Options{Node: "a"}), at(t, noon, Options{Node: "b"}), at(t, noon, Options{Node: "c"})}
	for minute := range 3 {
		for i := range 300 {
			caller, method, code, took := fmt.Sprint("c", i%5), fmt.Sprint("M", i%2), wire.Code(i%4*32), time.Duration(1<<(i%18))*time.Microsecond
			all.call(caller, "pay", method, 1, code, took)
			nodes[(i+minute)%3].call(caller, "pay", method, 1, code, took)
		}
		for _, n := range append(nodes, all) {
			n.wait(60)
		}
	}
	for _, n := range nodes { // some calls are not over, and lately
		n.meterOf("c1", "pay", "M1").Entered()
		all.meterOf("c1", "pay", "M1").Entered()
		n.wait(2)
	}
	all.wait(2)
	if r := one(t, all.Now(Query{By: ByNothing})); r.InFlight != 3 || r.Rate10 == 0 {
		t.Errorf("in flight %d, rate %v", r.InFlight, r.Rate10)
	}
	for _, q := range []Query{{By: ByCallerMethod}, {By: ByMethod, Total: true}, {By: ByNothing}, {From: noon, Step: time.Minute, By: ByCaller}} {
		ask := func(n *node) []Row {
			if q.From.IsZero() {
				return n.Now(q)
			}
			return n.past(q)
		}
		var parts [][]Row
		for _, n := range nodes {
			text, err := json.Marshal(ask(n))
			if err != nil {
				t.Fatal(err)
			}
			var rows []Row
			if err := json.Unmarshal(text, &rows); err != nil {
				t.Fatal(err)
			}
			parts = append(parts, rows)
		}
		want, got := ask(all), q.Arrange(Merge(parts...))
		for i := range want {
			want[i].Nodes, want[i].Peak = 3, 0 // peaks do not add up
		}
		for i := range got {
			got[i].Peak = 0
		}
		approximately := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
		if diff := cmp.Diff(want, got, approximately); diff != "" || len(want) == 0 {
			t.Errorf("%+v, %d rows:\n%s", q, len(want), diff)
		}
	}
}
