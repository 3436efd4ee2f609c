package stats

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// recordsOf draws what subjects have counted.
func recordsOf(t *rapid.T) map[name]*sums {
	word := rapid.StringMatching("[a-z_]{1,4}")
	names := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) name {
		return name{word.Draw(t, "caller"), word.Draw(t, "module"), word.Draw(t, "method")}
	}), func(n name) name { return n }).Draw(t, "names")
	all := make(map[name]*sums)
	for _, n := range names {
		var s tally
		s.entered, s.started, s.peak = rapid.Uint64Range(0, 1<<40).Draw(t, "entered"), rapid.Uint64Range(0, 9).Draw(t, "started"), rapid.Uint64Range(0, 9).Draw(t, "peak")
		for range rapid.IntRange(0, 5).Draw(t, "answers") {
			us := rapid.Uint64Range(0, 1<<28).Draw(t, "us")
			s.sumUS += us
			s.times[bucketOf(us)]++
			s.codes = s.codes.add(rapid.Uint8Range(0, maxCodes-1).Draw(t, "code"), 1)
		}
		all[n] = s.sums()
	}
	return all
}

func list(all map[name]*sums) (records []record) {
	for n, s := range all {
		records = append(records, record{n, s})
	}
	return records
}

var sumsAreEqual = cmp.AllowUnexported(sums{}, codeCount{})

func decoded(t *rapid.T, stored []byte) map[name]*sums {
	got := make(map[name]*sums)
	if err := decode(stored, func(r record) { got[r.name] = r.sums }); err != nil {
		t.Fatal(err)
	}
	for _, s := range got { // an empty slice is none
		if len(s.codes) == 0 {
			s.codes = nil
		}
		if len(s.times) == 0 {
			s.times = Histogram{}
		}
	}
	return got
}

func TestARollupIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := recordsOf(t)
		if diff := cmp.Diff(want, decoded(t, encode(list(want))), sumsAreEqual); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestRollupsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := recordsOf(t), recordsOf(t)
		stored, err := merge(encode(list(a)), encode(list(b)))
		if err != nil {
			t.Fatal(err)
		}
		for n, s := range b {
			a[n] = a[n].plus(s)
		}
		if diff := cmp.Diff(a, decoded(t, stored), sumsAreEqual); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestABrokenRollupIsRefused: cut at every byte, and with every bit turned, it is an error and never a panic.
func TestABrokenRollupIsRefused(t *testing.T) {
	var s tally
	s.entered = 300
	s.codes = s.codes.add(0, 290).add(96, 10)
	s.times[40] = 300
	whole := encode([]record{{name{"web", "pay", "Charge"}, s.sums()}, {name{"app", "pay", "Charge"}, s.sums()}})
	fails := func(what string, stored []byte) {
		t.Helper()
		records := 0
		err := decode(stored, func(r record) {
			if r.entered == 300 && r.codes.all() == 300 && r.times.Count() == 300 {
				records++
			}
		})
		if err == nil && records == 2 && len(stored) == len(whole) {
			return // a bit that gzip does not use
		}
		if err == nil {
			t.Errorf("%s: taken", what)
		} else if !contains(err.Error(), "rollup") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		fails(fmt.Sprint("cut at ", i), whole[:i])
		if i >= 10 { // before it are gzip's flags and times, which say nothing
			for bit := range 8 {
				broken := append([]byte{}, whole...)
				broken[i] ^= 1 << bit
				fails(fmt.Sprint("turned bit ", bit, " of byte ", i), broken)
			}
		}
	}
}

// FuzzDecode: what passes gzip is taken apart without a panic, too.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 1, 1, 'a', 1, 'b', 1, 'c', 5, 5, 5, 5, 1, 0, 5, 1, 40, 5})
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, plain []byte) {
		records, err := takeApart(plain)
		if err == nil && len(records) > len(plain) {
			t.Errorf("%d records of %d bytes", len(records), len(plain))
		}
	})
}

func takeApart(plain []byte) (records []record, err error) {
	err = decode(squeeze(plain), func(r record) { records = append(records, r) })
	return records, err
}
