package registry

import (
	"testing"
	"time"
)

func TestWhoIsLateIsPatient(t *testing.T) {
	const tick = 100 * time.Millisecond
	h := NewHealth(time.Second, tick)
	now := time.Hour
	after := func(d time.Duration) { now += d; h.Tick(now) }
	want := func(patience int, late uint32) {
		t.Helper()
		if h.Patience() != patience || h.LateMS() != late {
			t.Errorf("patience %d and %d ms late, want %d and %d", h.Patience(), h.LateMS(), patience, late)
		}
	}
	after(0)
	want(1, 0)
	after(tick)
	after(600 * time.Millisecond) // 500 ms late: half a heartbeat, not more
	want(1, 500)
	after(601 * time.Millisecond)
	want(2, 501)
	after(tick)
	want(2, 0)
	after(tick + 3500*time.Millisecond) // three heartbeats were missed
	want(6, 3500)
	after(tick + time.Minute)
	want(9, 60_000)
	after(tick + time.Minute)
	want(9, 60_000)
	for i := range 80 {
		after(tick)
		if got := 9 - (i+1)/10; h.Patience() != got {
			t.Fatalf("after %d punctual ticks patience is %d, want %d", i+1, h.Patience(), got)
		}
	}
	want(1, 0)
	after(50 * 24 * time.Hour)
	want(9, 1<<32-1)
}
