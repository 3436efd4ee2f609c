package quota

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twohop/twohop/governance/ratelimit"
)

// BenchmarkLook looks at ten thousand limits, every 100 ms as Run does with so many, and puts and answers the questions.
func BenchmarkLook(b *testing.B) {
	for _, c := range []struct {
		name    string
		members []string
		called  int // of them, between two looks
	}{
		{"none is called", []string{"a", "b", "c"}, 0},
		{"a hundred are called", []string{"a", "b", "c"}, 100},
		{"all are called", []string{"a", "b", "c"}, 10_000},
		{"all are called at the only node", []string{"a"}, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			now := time.Hour
			limits := make([]Limit, 10_000)
			for i := range limits {
				limits[i] = Limit{Key: fmt.Sprint("per-caller/c", i), PerSecond: 50, Burst: 5, Bucket: ratelimit.NewBucket(50, 1)}
			}
			members := func() []string { return c.members }
			l := New(Options{
				Node: "a", Members: members, Reached: members, Limits: func() []Limit { return limits },
				Ask: func(_ context.Context, _ string, body []byte) ([]byte, error) {
					q, err := decodeQuestion(body)
					if err != nil {
						return nil, err
					}
					var leases []granted
					for _, a := range q.Limits {
						leases = append(leases, granted{a.Key, 20, 1000})
					}
					return encodeAnswer(leases)
				},
				Now: func() time.Duration { return now }, Log: slog.New(slog.DiscardHandler),
			})
			step := func() {
				now += idleEvery
				for _, limit := range limits[:c.called] {
					limit.Bucket.Take(now)
				}
				due, _ := l.look()
				for _, q := range due {
					l.ask(b.Context(), q)
				}
			}
			for range 130 { // who is not called rests after 10 s
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
