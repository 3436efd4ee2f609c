package stats

import (
	"fmt"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// BenchmarkFull is what happens beside the calls, with as many subjects as are kept, all of them called.
func BenchmarkFull(b *testing.B) {
	now, wall := time.Duration(0), noon
	books, err := New(Options{Now: func() time.Duration { return now }, Wall: func() time.Time { return wall }})
	if err != nil {
		b.Fatal(err)
	}
	meters := make([]governance.Meter, DefaultMaxCallers)
	for i := range meters {
		meters[i] = books.Meter(governance.Subject{Caller: fmt.Sprint("caller", i), Module: "pay", Method: fmt.Sprint("M", i%50)})
	}
	call := func(b *testing.B) {
		b.StopTimer()
		for i, m := range meters {
			count(m, i<<8)
		}
		b.StartTimer()
	}
	b.Run("second", func(b *testing.B) {
		for range b.N {
			call(b)
			now += time.Second
			books.sample(now)
		}
	})
	b.Run("minute", func(b *testing.B) {
		for range b.N {
			call(b)
			now, wall = now+time.Minute, wall.Add(time.Minute)
			books.close(now, wall)
		}
	})
	b.Run("encode", func(b *testing.B) {
		for range b.N {
			call(b)
			now, wall = now+time.Minute, wall.Add(time.Minute)
			b.StopTimer()
			books.close(now, wall)
			b.StartTimer()
			packed := books.rollups.pack()
			b.ReportMetric(float64(len(packed[len(packed)-1].packed)), "bytes")
		}
	})
	b.Run("now", func(b *testing.B) {
		for range b.N {
			books.Now(Query{Limit: 10})
		}
	})
	b.Run("collect", func(b *testing.B) {
		c := books.Collector().(*collector)
		for range b.N {
			books.measure(c)
		}
	})
}
