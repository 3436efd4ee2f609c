package quota

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance/ratelimit"
)

// resting returns a Leases of node a whose only limit, of 1,000/s, b owns, and its Limit. Nobody has called for so long that it rests.
func resting(t *testing.T, now *time.Duration, members, reached *[]string) (l *Leases, limits *[]Limit) {
	t.Helper()
	l = still(now)
	limits = &[]Limit{{Key: keyOf("b"), PerSecond: 1000, Burst: 100, Bucket: ratelimit.NewBucket(1000, 1)}}
	l.opts.Members = func() []string { return *members }
	l.opts.Reached = func() []string { return *reached }
	l.opts.Limits = func() []Limit { return *limits }
	for range 130 {
		granting(l, 1)
		*now += 100 * time.Millisecond
	}
	if !l.list[0].rests {
		t.Fatal("a limit that nobody has called for 13 s does not rest")
	}
	return l, limits
}

// granting looks, has what is asked for granted, and returns how many questions there were.
func granting(l *Leases, rate float64) int {
	due, _ := l.look()
	for _, q := range due {
		leases := map[string]granted{}
		for _, a := range q.asked {
			leases[a.Key] = granted{a.Key, rate, 1000}
		}
		l.answered(q.owner, q.limits, leases)
		l.mu.Lock()
		delete(l.asking, q.owner)
		l.mu.Unlock()
	}
	return len(due)
}

// TestALimitThatRestsHearsWhatConcernsIt: it is not looked at, and still has what rate holds.
func TestALimitThatRestsHearsWhatConcernsIt(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *Leases, now *time.Duration, members, reached *[]string, limits *[]Limit)
		want float64 // calls per second after one look
	}{
		{"nothing", func(*Leases, *time.Duration, *[]string, *[]string, *[]Limit) {}, 5},
		{"the link to the owner is lost", func(_ *Leases, _ *time.Duration, _, reached *[]string, _ *[]Limit) { *reached = []string{"a"} }, 500},
		{"members come", func(_ *Leases, _ *time.Duration, members, _ *[]string, _ *[]Limit) {
			*members = []string{"a", "b", "b2", "b3", "b4"}
		}, 2},
		{"it is alone", func(_ *Leases, _ *time.Duration, members, _ *[]string, _ *[]Limit) { *members = []string{"a"} }, 1000},
		{"the limit changes", func(_ *Leases, _ *time.Duration, _, _ *[]string, limits *[]Limit) {
			next := (*limits)[0]
			next.PerSecond = 2000
			*limits = []Limit{next}
		}, 10},
		{"it has another bucket", func(_ *Leases, _ *time.Duration, _, _ *[]string, limits *[]Limit) {
			next := (*limits)[0]
			next.Bucket = ratelimit.NewBucket(1000, 1)
			*limits = []Limit{next}
		}, 5},
		{"a late answer, whose lease has run out since", func(l *Leases, now *time.Duration, _, _ *[]string, _ *[]Limit) {
			h := l.list[0]
			h.holder.Asks(*now)
			l.answered("b", l.list, map[string]granted{h.limit.Key: {h.limit.Key, 700, 1000}})
			if got := h.limit.Bucket.Rate(); got != 700 {
				t.Errorf("a late answer: a rate of %v, want 700", got)
			}
			*now += 2 * time.Second
		}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, members := time.Hour, []string{"a", "b"}
			reached := members
			l, limits := resting(t, &now, &members, &reached)
			bucket := (*limits)[0].Bucket
			c.do(l, &now, &members, &reached, limits)
			granting(l, 200)
			if got := (*limits)[0].Bucket.Rate(); !about(got, c.want) {
				t.Errorf("a rate of %v, want %v (was %v)", got, c.want, bucket.Rate())
			}
			if got := l.View()[0].Rate; !about(got, c.want) {
				t.Errorf("it is shown with %v", got)
			}
		})
	}
}

func TestCallsWakeALimitThatRests(t *testing.T) {
	now, members := time.Hour, []string{"a", "b"}
	l, limits := resting(t, &now, &members, &members)
	for range 500 { // more looks
		now += 100 * time.Millisecond
		if n := granting(l, 5); n != 0 {
			t.Fatal("a limit that rests is asked for")
		}
	}
	now += 10 * time.Millisecond
	for range 20 {
		(*limits)[0].Bucket.Take(now)
	}
	if n := granting(l, 900); n != 1 {
		t.Errorf("%d questions when calls come, want one at once", n)
	}
	if got := l.View()[0]; got.Demand < 1_500 || got.Demand > 2_500 || got.Rate != 900 {
		t.Errorf("%v, want a demand of 2,000 and what was granted: the calls are of the last 10 ms", got)
	}
	if l.list[0].rests {
		t.Error("it rests while there are calls")
	}
}
