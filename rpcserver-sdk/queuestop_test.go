package rpcserver

import (
	"testing"
	"time"
)

// What comes while the queue stops is neither run nor left behind, and the end is told once.
func TestAStoppedQueueTakesNothing(t *testing.T) {
	ran := 0
	q := newQueue(4, 2, func() time.Duration { return 0 }, func(*task) { ran++ })
	first := &task{method: &method{}}
	if room, _ := q.push(first); !room {
		t.Fatal("a new queue has no room")
	}
	if left := q.stop(); len(left) != 1 || left[0] != first {
		t.Errorf("%d tasks were left, want the one that waits", len(left))
	}
	<-q.ended
	if room, stopped := q.push(&task{method: &method{}}); room || !stopped {
		t.Errorf("room %v, stopped %v after the stop", room, stopped)
	}
	q.wake()
	if ran != 0 {
		t.Error("a task ran after the stop")
	}
}
