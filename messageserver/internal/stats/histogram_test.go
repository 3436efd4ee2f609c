package stats

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsAreWithoutGaps(t *testing.T) {
	var end time.Duration
	for i := range Buckets {
		from, to := Bounds(i)
		if from != end {
			t.Errorf("bucket %d begins at %v, the one before ends at %v", i, from, end)
		}
		if got := bucketOf(uint64(from / time.Microsecond)); got != i {
			t.Errorf("%v is in bucket %d, want %d", from, got, i)
		}
		if i < Buckets-1 {
			if got := bucketOf(uint64(to/time.Microsecond) - 1); got != i {
				t.Errorf("1 µs before %v is in bucket %d, want %d", to, got, i)
			}
		}
		end = to
	}
	for i, want := range map[int]time.Duration{1: 16 * time.Microsecond, 2: 20 * time.Microsecond, 5: 32 * time.Microsecond, Buckets - 1: 134217728 * time.Microsecond} {
		if from, _ := Bounds(i); from != want {
			t.Errorf("bucket %d begins at %v, want %v", i, from, want)
		}
	}
	if bucketOf(math.MaxUint64) != Buckets-1 {
		t.Error("the longest time is not in the last bucket")
	}
}

// TestQuantilesAreNearlyRight compares with the sorted times.
func TestQuantilesAreNearlyRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Times of any size, as many of each.
		times := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) uint64 {
			low := uint64(1) << rapid.IntRange(4, 26).Draw(t, "step")
			return rapid.Uint64Range(low, 2*low-1).Draw(t, "us")
		}), 1, 200).Draw(t, "times")
		q := rapid.Float64Range(0.001, 1).Draw(t, "q")
		var sum tally
		for _, us := range times {
			sum.times[bucketOf(us)]++
		}
		slices.Sort(times)
		want := times[max(int(math.Ceil(q*float64(len(times)))), 1)-1]
		got := sum.histogram().Quantile(q)
		if math.Abs(float64(got)-float64(want)) > 0.125*float64(want)+1 { // the middle is cut to whole µs
			t.Fatalf("the %v quantile is %d µs, want %d: %.1f %% wrong", q, got, want, 100*math.Abs(float64(got)/float64(want)-1))
		}
	})
}

func TestQuantilesOfLittle(t *testing.T) {
	if got := (Histogram)(nil).Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	if got := (Histogram{{0, 5}}).Quantile(0.99); got != 8 {
		t.Errorf("of times below 16 µs: %d, want 8", got)
	}
	if got := (Histogram{{Buckets - 1, 5}}).Quantile(0.5); got != longest {
		t.Errorf("of times beyond the last bucket: %d, want %d", got, longest)
	}
}

func TestHistogramsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := func(name string) map[uint8]uint64 {
			return rapid.MapOf(rapid.Uint8Range(0, Buckets-1), rapid.Uint64Range(1, 1000)).Draw(t, name)
		}
		make := func(counts map[uint8]uint64) (h Histogram) {
			var all tally
			for i, n := range counts {
				all.times[i] = n
			}
			return all.histogram()
		}
		a, b := counts("a"), counts("b")
		text, err := json.Marshal(make(a).plus(make(b)))
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range b {
			a[i] += n
		}
		var got Histogram
		if err := json.Unmarshal(text, &got); err != nil || !slices.Equal(got, make(a)) {
			t.Fatalf("%v: got %v, want %v", err, got, make(a))
		}
	})
}

func TestAHistogramThatIsNone(t *testing.T) {
	for text, want := range map[string]string{
		`[[94,1]]`: "bucket below 94", `[[1]]`: "[bucket,count]", `[[1,2,3]]`: "[bucket,count]", `[[1,-1]]`: "[bucket,count]",
		`[[2,1],[1,1]]`: "ascending", `[[1,1],[1,1]]`: "ascending", `{}`: "cannot unmarshal",
	} {
		var h Histogram
		wantText(t, json.Unmarshal([]byte(text), &h), want)
		if h != nil {
			t.Errorf("%s: taken as %v", text, h)
		}
	}
}
