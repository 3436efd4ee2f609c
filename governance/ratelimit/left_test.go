package ratelimit

import (
	"math"
	"testing"
	"time"
)

func TestLeftTakesNothing(t *testing.T) {
	b := NewBucket(10, 5)
	want := func(now time.Duration, left float64) {
		t.Helper()
		for range 2 {
			if got := b.Left(now); math.Abs(got-left) > 1e-6 {
				t.Errorf("at %v: %v left, want %v", now, got, left)
			}
		}
	}
	want(0, 5)
	for range 3 {
		b.Take(0)
	}
	want(0, 2)
	want(100*time.Millisecond, 3)
	want(time.Hour, 5)
	for range 7 {
		b.Reserve(time.Hour, time.Second)
	}
	want(time.Hour, -2)
	b.Set(time.Hour, 20, 3)
	want(time.Hour, -2)
	want(time.Hour+100*time.Millisecond, 0)
	if asked := b.Asked(); asked != 10 {
		t.Errorf("%d asked for, want 10: Left asks for none", asked)
	}
}
