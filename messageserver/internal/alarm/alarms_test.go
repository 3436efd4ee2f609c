package alarm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what holds, as a source says it.
type world struct {
	mu    sync.Mutex
	holds []Alarm
}

func (w *world) source() []Alarm {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holds
}

func (w *world) set(holds ...Alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = holds
}

// run runs a story with the alarms of node a, in a bubble whose clock stands between two looks.
func run(t *testing.T, o Options, story func(t *testing.T, w *world, a *Alarms)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := new(world)
		o.Sources = append(o.Sources, w.source)
		a := start(t, o)
		time.Sleep(500 * time.Millisecond)
		story(t, w, a)
	})
}

// start runs alarms until the test ends.
func start(t *testing.T, o Options) *Alarms {
	t.Helper()
	o.Node, o.Mesh = orElse(o.Node, "a"), "m"
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return a
}

// looks lets n looks pass.
func looks(n int) {
	time.Sleep(time.Duration(n) * time.Second)
	synctest.Wait()
}

// wantList wants the alarms that are kept, as kind:subject, with a ! if they lasted to the end of the look.
func wantList(t *testing.T, when string, a *Alarms, want string) {
	t.Helper()
	var got []string
	for _, one := range a.List(true) {
		text := one.Kind + ":" + one.Subject
		if one.Lasts() {
			text += "!"
		}
		got = append(got, text)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func TestAnAlarmBeginsAtTheFirstLookAndEndsAfterTheLastOnes(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, a *Alarms) {
		began := time.Now().Add(500 * time.Millisecond).UTC()
		w.set(Alarm{Kind: LinkDown, Subject: "b", Text: "refused"})
		looks(1)
		wantList(t, "seen once", a, "link_down:b!")
		w.set(Alarm{Kind: LinkDown, Subject: "b", Text: "timed out"})
		looks(9)
		one := a.List(false)[0]
		if one.Severity != Critical || one.Text != "timed out" || !one.Since.Equal(began) || !one.LastSeen.Equal(began.Add(9*time.Second)) ||
			one.Count != 1 || one.Node != "a" || one.Mesh != "m" || fmt.Sprint(one.Reporters) != "[a]" || len(one.Fingerprint) != 16 {
			t.Errorf("%+v, began %v", one, began)
		}
		w.set()
		looks(5)
		wantList(t, "gone for 4 s", a, "link_down:b!")
		looks(1)
		wantList(t, "gone for 5 s", a, "link_down:b")
		if one := a.List(true)[0]; !one.Ended.Equal(began.Add(10 * time.Second)) {
			t.Errorf("ended at %v, began at %v: the end is when it was not seen first", one.Ended, began)
		}
		if list := a.List(false); len(list) != 0 {
			t.Error("lasting:", list)
		}
		looks(3600 - 5)
		wantList(t, "an hour later", a, "link_down:b")
		looks(1)
		wantList(t, "after it", a, "")
	})
}

func TestWhatComesAndGoesIsOneAlarm(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, a *Alarms) {
		for range 10 {
			w.set(Alarm{Kind: LinkDown, Subject: "b"})
			looks(1)
			w.set()
			looks(4)
		}
		wantList(t, "ten times", a, "link_down:b!")
		if one := a.List(false)[0]; one.Count != 10 {
			t.Errorf("%+v", one)
		}
		looks(10)
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(1)
		wantList(t, "after its end it is another one", a, "link_down:b! link_down:b")
	})
}

func TestPatienceIsAnOption(t *testing.T) {
	run(t, Options{Holds: 3, Gone: time.Second}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(2)
		w.set()
		looks(1)
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(2)
		wantList(t, "never three in a row", a, "")
		looks(1)
		wantList(t, "three in a row", a, "link_down:b!")
		w.set()
		looks(2)
		wantList(t, "gone", a, "link_down:b")
	})
}

func TestOneConditionIsOneAlarm(t *testing.T) {
	since := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC) // before the bubble's clock
	var other world
	other.set(Alarm{Kind: LinkSlow, Subject: "b", Severity: Critical, Since: since, Labels: map[string]string{"side": "in"}})
	run(t, Options{Sources: []Source{other.source}}, func(t *testing.T, w *world, a *Alarms) {
		w.set(
			Alarm{Kind: LinkSlow, Subject: "b", Labels: map[string]string{"side": "in"}},
			Alarm{Kind: LinkSlow, Subject: "b", Labels: map[string]string{"side": "out"}},
			Alarm{Kind: LinkSlow, Subject: "c", Since: time.Now().Add(time.Hour)},
			Alarm{Kind: "never_heard_of"},
		)
		looks(2)
		wantList(t, "labels tell apart", a, strings.Repeat("link_slow:b! ", 2)+"link_slow:c! never_heard_of:!")
		list := a.List(false)
		if list[0].Severity != Critical || !list[0].Since.Equal(since) || list[0].Labels["side"] != "in" || list[0].Count != 1 {
			t.Errorf("%+v", list[0])
		}
		if list[1].Severity != Warning || list[3].Severity != Warning || list[2].Since.After(time.Now()) {
			t.Errorf("%+v", list[1:])
		}
	})
}

func TestTenThousandConditionsAreBounded(t *testing.T) {
	run(t, Options{Gone: time.Second, Webhook: "http://w", HTTP: client(broken)}, func(t *testing.T, w *world, a *Alarms) {
		many := func(severity Severity, round, n int) (all []Alarm) {
			for i := range n {
				all = append(all, Alarm{Kind: ModuleAbsent, Subject: fmt.Sprintf("%s-%d-%d", severity, round, i), Severity: severity})
			}
			return all
		}
		w.set(many(Warning, 0, 10_000)...)
		looks(3)
		list := a.List(false)
		if len(list) != 751 {
			t.Errorf("%d alarms of warnings, want three quarters of 1,000, and that there are more", len(list))
		}
		w.set(append(many(Critical, 0, 5000), many(Warning, 0, 10_000)...)...)
		looks(1)
		critical := 0
		for _, one := range a.List(false) {
			if one.Severity == Critical {
				critical++
			}
		}
		if list := a.List(false); critical != 249 || len(list) != 1000 {
			t.Errorf("%d alarms, %d critical: what is full has no room for them", len(list), critical)
		}
		if v := a.View(); v.Overflow == 0 {
			t.Errorf("%+v", v)
		}
		for round := range 8 { // each look others
			w.set(many(Warning, round, 10_000)...)
			looks(3)
		}
		w.set()
		looks(10)
		if list := a.List(true); len(list) != 1000 {
			t.Errorf("%d that have ended", len(list))
		}
		if v := a.View(); v.Lasting != 0 || v.Ended != 1000 || v.Receivers[0].Waiting > maxWaiting || v.Receivers[0].Dropped == 0 {
			t.Errorf("%+v", v)
		}
	})
}

func TestTheOverflowIsAnAlarm(t *testing.T) {
	run(t, Options{Max: 4}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkSlow, Subject: "1"}, Alarm{Kind: LinkSlow, Subject: "2"}, Alarm{Kind: LinkSlow, Subject: "3"})
		looks(1)
		wantList(t, "as many as there is room for", a, "link_slow:1! link_slow:2! link_slow:3!")
		w.set(append(w.source(), Alarm{Kind: LinkSlow, Subject: "4"})...)
		looks(1)
		wantList(t, "one more", a, "alarms_overflow:a! link_slow:1! link_slow:2! link_slow:3!")
		w.set(w.source()[:3]...)
		looks(6)
		wantList(t, "as before", a, "link_slow:1! link_slow:2! link_slow:3! alarms_overflow:a")
	})
}

func TestTheWallClockMayBeSetBack(t *testing.T) {
	var mu sync.Mutex
	var offset time.Duration
	wall := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(offset)
	}
	run(t, Options{Wall: wall}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(3)
		mu.Lock()
		offset = -time.Hour
		mu.Unlock()
		w.set()
		looks(6)
		wantList(t, "six looks later", a, "link_down:b")
		if one := a.List(true)[0]; one.Ended.Before(one.Since) {
			t.Errorf("%+v: ended before it began", one)
		}
	})
}

func TestALogLineForEachKindAndLook(t *testing.T) {
	var text bytes.Buffer
	run(t, Options{Log: slog.New(slog.NewTextHandler(&text, nil))}, func(t *testing.T, w *world, _ *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"}, Alarm{Kind: LinkDown, Subject: "c"}, Alarm{Kind: NodeDead, Subject: "c"})
		looks(5)
		w.set()
		looks(10)
	})
	got := text.String()
	if strings.Count(got, "\n") != 4 || strings.Count(got, "msg=alarm ") != 2 || strings.Count(got, `msg="alarm over"`) != 2 || strings.Count(got, "more=1") != 2 {
		t.Error(got)
	}
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	secret := "http://user:secret@"
	_, err := New(Options{
		Alertmanager: []string{"10.0.0.1:9093", "http://am:9093", "http://am:9093"}, Webhook: secret, Site: "x", Every: -1, Holds: -1, Max: -1,
	})
	want := []string{"node: ", "mesh: ", "alertmanager[0]: is not", "alertmanager[2]: stands twice", "webhook: ", "site: ", "every: ", "holds: ", "max: "}
	for _, part := range want {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%q is missing in\n%v", part, err)
		}
	}
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != len(want) || strings.Contains(fmt.Sprint(err), "secret") {
		t.Error(err)
	}
}

func TestFingerprints(t *testing.T) {
	of := func(node, mesh string, a Alarm) string {
		a.complete(node, mesh, time.Now())
		return a.Fingerprint
	}
	dead := Alarm{Kind: NodeDead, Subject: "c", Labels: map[string]string{"x": "1", "y": "2"}}
	first := of("a", "m", dead)
	if first != "0b9194c56a507abe" {
		t.Errorf("the definition changed: nodes of other versions make another one of the same alarm: %s", first)
	}
	again := dead
	again.Text, again.Severity, again.Since = "another", Warning, time.Unix(1, 0)
	if of("a", "m", again) != first || of("b", "m", dead) != first {
		t.Error("who says it, and how, makes another alarm")
	}
	for name, other := range map[string]string{
		"kind":    of("a", "m", Alarm{Kind: NodeClone, Subject: "c", Labels: dead.Labels}),
		"subject": of("a", "m", Alarm{Kind: NodeDead, Subject: "d", Labels: dead.Labels}),
		"mesh":    of("a", "n", dead),
		"label":   of("a", "m", Alarm{Kind: NodeDead, Subject: "c", Labels: map[string]string{"x": "1", "y": "3"}}),
		"fewer":   of("a", "m", Alarm{Kind: NodeDead, Subject: "c", Labels: map[string]string{"x": "1"}}),
		"border":  of("a", "m", Alarm{Kind: NodeDead, Subject: "c", Labels: map[string]string{"x": "1y2"}}),
	} {
		if other == first {
			t.Errorf("another %s is the same alarm", name)
		}
	}
	if down := (Alarm{Kind: LinkDown, Subject: "c"}); of("a", "m", down) == of("b", "m", down) {
		t.Error("two nodes' own views are the same alarm")
	}
}

// BenchmarkLook looks at 10,000 conditions, of which 750 are kept.
func BenchmarkLook(b *testing.B) {
	var w world
	for i := range 10_000 {
		w.holds = append(w.holds, Alarm{Kind: LinkSlow, Subject: fmt.Sprint(i), Text: "slow", Labels: map[string]string{"side": "in"}})
	}
	a, err := New(Options{Node: "a", Mesh: "m", Sources: []Source{w.source}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.look(time.Now())
	}
}
