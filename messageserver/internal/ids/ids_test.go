package ids

import (
	"sync"
	"testing"
	"time"
)

func TestIDsRiseAndNeverRepeat(t *testing.T) {
	s := New(7)
	const makers, each = 8, 20_000 // more than 4,096 a millisecond: the sequence overflows
	all := make([][]uint64, makers)
	var wg sync.WaitGroup
	for m := range makers {
		wg.Go(func() {
			for range each {
				all[m] = append(all[m], s.Next())
			}
		})
	}
	wg.Wait()
	seen := make(map[uint64]bool, makers*each)
	for _, ids := range all {
		for i, id := range ids {
			if seen[id] {
				t.Fatalf("id %d twice", id)
			}
			seen[id] = true
			if i > 0 && id <= ids[i-1] {
				t.Fatalf("id %d after %d", id, ids[i-1])
			}
			if id>>63 != 0 {
				t.Fatalf("id %d has more than 63 bits", id)
			}
		}
	}
}

func TestSplitIsTheInverse(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	p := Split(New(1000).Next())
	if p.Number != 1000 {
		t.Errorf("number %d, want 1000", p.Number)
	}
	if p.Time.Before(before) || p.Time.After(time.Now().Add(time.Second)) {
		t.Errorf("time %v, made at about %v", p.Time, before)
	}
}

func TestATimeThatWentBackIsNotFollowed(t *testing.T) {
	s := New(1)
	ahead := New(1).Next() + 1<<(sequenceBits+numberBits+20) // a quarter of an hour ahead of the wall clock
	s.last.Store(ahead >> numberBits)
	if next := s.Next(); next <= ahead {
		t.Errorf("%d came after %d", next, ahead)
	}
}

func BenchmarkNext(b *testing.B) {
	s := New(1)
	b.ReportAllocs()
	for b.Loop() {
		s.Next()
	}
}
