package router

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// TestHomesAreWhatAMapIs compares with one, after many edits.
func TestHomesAreWhatAMapIs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var h homes
	model := map[uint64]*home{}
	numbers := make([]uint64, 3000)
	for i := range numbers {
		numbers[i] = []uint64{uint64(i), uint64(i) << 12, uint64(i) << 54, random.Uint64()}[i%4]
	}
	for range 2000 {
		changes := map[uint64]*home{}
		for range random.IntN(8) {
			session := numbers[random.IntN(len(numbers))]
			changes[session] = nil
			delete(model, session)
			if random.IntN(3) > 0 {
				one := &home{}
				changes[session], model[session] = one, one
			}
		}
		h.edit(changes)
	}
	if !maps.Equal(h.all(), model) {
		t.Errorf("%d sessions, want %d", len(h.all()), len(model))
	}
	for _, session := range numbers {
		if h.find(session) != model[session] {
			t.Fatalf("session %d is %v, want %v", session, h.find(session), model[session])
		}
	}
}

// TestHomesAreSpread, whichever bits of their numbers differ: an edit copies one shard.
func TestHomesAreSpread(t *testing.T) {
	for shift := 0; shift <= 48; shift += 4 {
		var h homes
		used := map[any]int{}
		for i := range uint64(50_000) {
			used[h.shard(i<<shift)]++
		}
		for _, n := range used {
			if n > 1000 {
				t.Fatalf("numbers that count up from bit %d: %d of 50,000 in one of %d shards", shift, n, homeShards)
			}
		}
	}
}

// BenchmarkLogin says what one more login costs a node that has so many.
func BenchmarkLogin(b *testing.B) {
	for _, instances := range []int{10, 10_000} {
		b.Run(fmt.Sprint(instances), func(b *testing.B) {
			r := New(Options{Node: "a"}, func() time.Duration { return 1 })
			methods := NewMethods(map[string]Contract{"Move": {}})
			target := &fakeTarget{}
			register := func(i int) uint64 {
				reg := &Registration{
					Session: uint64(i)<<16 | 1, Module: fmt.Sprint("m-", i%100), Instance: fmt.Sprint("i-", i), UUID: fmt.Sprint("u-", i),
					Stamp: Stamp{N: uint64(i + 1), Node: "a"}, Methods: methods,
				}
				r.Register(reg, target)
				return reg.Session
			}
			for i := range instances {
				register(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Unregister(register(instances))
				r.Changes()
			}
		})
	}
}
