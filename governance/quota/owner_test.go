package quota

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// settled lets an owner hear of nodes until the shares stand, and returns them.
func settled(o *Owner, now time.Duration, reached, members int, demands ...float64) []float64 {
	rates := make([]float64, len(demands))
	for range 20 {
		now += 100 * time.Millisecond
		for i, d := range demands {
			rates[i], _ = o.Grant(now, fmt.Sprint("n", i), d, reached, members)
		}
	}
	return rates
}

func TestSharesAreMaxMinFair(t *testing.T) {
	for _, c := range []struct {
		name             string
		reached, members int
		demands, want    []float64
	}{
		{"one wants all", 3, 3, []float64{5000, 0, 0}, []float64{993.3, 3.3, 3.3}},
		{"all want all", 3, 3, []float64{5000, 5000, 5000}, []float64{333.3, 333.3, 333.3}},
		{"two want all", 3, 3, []float64{5000, 800, 5}, []float64{497.5, 497.5, 5}},
		{"a small one has what it needs", 3, 3, []float64{5000, 150, 50}, []float64{800, 150, 50}},
		{"what nobody needs is divided", 3, 3, []float64{100, 200, 400}, []float64{200, 300, 500}},
		{"nothing is needed", 3, 3, []float64{0, 0, 0}, []float64{333.3, 333.3, 333.3}},
		{"those who do not ask keep their part of the rest", 3, 3, []float64{100}, []float64{100 + 893.3/3}},
		{"but not of what is needed", 3, 3, []float64{5000}, []float64{993.3}},
		{"half of the members are reached", 2, 4, []float64{5000, 5000}, []float64{250, 250}},
		{"a node alone of four", 1, 4, []float64{5000}, []float64{250}},
		{"the only member", 1, 1, []float64{5000}, []float64{1000}},
	} {
		got := settled(NewOwner(1000, 0), 0, c.reached, c.members, c.demands...)
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 0.1 {
				t.Errorf("%s: %.1f, want %v", c.name, got, c.want)
				break
			}
		}
	}
}

func TestAShareGrowsOnlyByWhatOthersDoNotHold(t *testing.T) {
	o, ms := NewOwner(1000, 0), time.Millisecond
	settled(o, 0, 3, 3, 5000, 0, 0) // up to 2 s
	grant := func(now time.Duration, node string, demand, want float64) {
		t.Helper()
		if rate, valid := o.Grant(now, node, demand, 3, 3); math.Abs(rate-want) > 0.1 || valid != Valid {
			t.Errorf("%s, which wants %v at %v: %.1f for %v, want %.1f for 1s", node, demand, now, rate, valid, want)
		}
	}
	grant(2010*ms, "n1", 5000, 3.3)   // n0 holds all
	grant(2020*ms, "n0", 5000, 498.3) // and gives back what is not its share any more
	grant(2030*ms, "n1", 5000, 498.3)
	// n2 has asked at 2 s, with nothing. n0 is not heard again: its lease ends after a second, by its last question.
	grant(2900*ms, "n1", 5000, 498.3)
	grant(3010*ms, "n1", 5000, 498.3)
	grant(3020*ms, "n1", 5000, 993.3)
}

func TestANewOwnerGrantsEqualPartsAtFirst(t *testing.T) {
	o := NewOwner(900, -time.Hour)
	for _, c := range []struct{ now, want float64 }{{50, 300}, {0, 300}, {249, 300}, {250, 894}} {
		if got, _ := o.Grant(time.Duration(c.now)*time.Millisecond, "n0", 1e6, 3, 3); math.Abs(got-c.want) > 0.1 {
			t.Errorf("after %v ms: %v, want %v", c.now, got, c.want)
		}
	}
}

// TestANewOwnerWaitsForTheLeasesOfTheOneBefore: it does not know of them.
func TestANewOwnerWaitsForTheLeasesOfTheOneBefore(t *testing.T) {
	for _, c := range []struct{ since, now, want float64 }{
		{100, 100, 300}, {100, 400, 300}, {100, 1099, 300}, {100, 1100, 894}, // asked from 100 ms on
		{-900, 100, 300}, {-900, 299, 300}, {-900, 300, 894}, // the owner for long, which has forgotten
	} {
		o, ms := NewOwner(900, time.Duration(c.since)*time.Millisecond), time.Millisecond
		o.Grant(100*ms, "n0", 1e6, 3, 3)
		if got, _ := o.Grant(time.Duration(c.now)*ms, "n0", 1e6, 3, 3); math.Abs(got-c.want) > 0.1 {
			t.Errorf("the owner since %v ms, at %v ms: %v, want %v", c.since, c.now, got, c.want)
		}
	}
}

func TestFewerReachedCountAtOnceMoreAfterAWhile(t *testing.T) {
	o, ms := NewOwner(300, -time.Hour), time.Millisecond
	for _, c := range []struct {
		now     time.Duration
		reached int
		want    float64
	}{
		{0, 3, 100}, {300 * ms, 3, 298}, {310 * ms, 1, 100}, {400 * ms, 3, 100}, {590 * ms, 3, 100}, {600 * ms, 3, 298},
		{700 * ms, 2, 199}, {710 * ms, 3, 199}, {800 * ms, 2, 199}, {920 * ms, 3, 199}, {1120 * ms, 3, 298},
		{1200 * ms, 0, 100}, {1210 * ms, -5, 100},
	} {
		if got, _ := o.Grant(c.now, "n0", 1e6, c.reached, 3); math.Abs(got-c.want) > 0.1 {
			t.Errorf("at %v, %d of 3 are reached: %v, want %v", c.now, c.reached, got, c.want)
		}
	}
}

// TestANodeThatIsLostTakesNothingFromTheOthers loses one of three, whose lease lives on for a moment: those whose demand fits into
// their share do not notice.
func TestANodeThatIsLostTakesNothingFromTheOthers(t *testing.T) {
	o := NewOwner(900, -time.Hour)
	settled(o, 0, 3, 3, 250, 100, 3000)
	for i, want := range []float64{250, 100} {
		if got, _ := o.Grant(2100*time.Millisecond, fmt.Sprint("n", i), want, 2, 3); got < want {
			t.Errorf("n%d has %v/s right after the third was lost, and wants %v of the 600 that are left", i, got, want)
		}
	}
}

func TestALimitThatChanges(t *testing.T) {
	o := NewOwner(1000, 0)
	settled(o, 0, 2, 2, 5000, 5000)
	o.SetLimit(100)
	if got, _ := o.Grant(2100*time.Millisecond, "n0", 5000, 2, 2); math.Abs(got-50) > 0.01 {
		t.Errorf("%v for the first to ask under the lower limit, want its part of it: that the other still holds more is not its fault", got)
	}
	if got := settled(o, 2100*time.Millisecond, 2, 2, 5000, 5000); math.Abs(got[0]-50) > 0.1 || math.Abs(got[1]-50) > 0.1 {
		t.Errorf("%v under the lower limit, want 50 each", got)
	}
	for _, odd := range []float64{0, -5} {
		o.SetLimit(odd)
		if got := settled(o, 10*time.Second, 2, 2, 5000, 5000); got[0] != 0 || got[1] != 0 {
			t.Errorf("%v under a limit of %v", got, odd)
		}
	}
}

// TestWhatIsHeldIsNeverMoreThanTheLimit is the model: any nodes ask at any times with any demands while more and fewer are reached.
func TestWhatIsHeldIsNeverMoreThanTheLimit(t *testing.T) {
	type lease struct {
		rate  float64
		until time.Duration
	}
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]float64{0, 1, 100, 1e6}).Draw(t, "limit")
		members := rapid.IntRange(1, 6).Draw(t, "members")
		o, now, reached := NewOwner(limit, 0), time.Duration(0), members
		live := map[string]lease{}
		reserve := limit / float64(members) / 100
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond
			shrunk := false
			if rapid.IntRange(0, 9).Draw(t, "split") == 0 {
				before := reached
				reached = rapid.IntRange(1, members).Draw(t, "reached")
				shrunk = reached < before
			}
			node := fmt.Sprint("n", rapid.IntRange(0, members-1).Draw(t, "node"))
			demand := rapid.OneOf(rapid.SampledFrom([]float64{0, limit / 2, limit, limit * 10}), rapid.Float64Range(0, 2*limit+1)).Draw(t, "demand")
			held := reserve
			if l := live[node]; l.until > now {
				held = max(held, l.rate)
			}
			rate, valid := o.Grant(now, node, demand, reached, members)
			if valid > time.Second || valid <= 0 || math.IsNaN(rate) || rate < reserve*0.999 {
				t.Fatalf("%v for %v", rate, valid)
			}
			live[node] = lease{rate, now + valid}
			others := 0.0
			for name, l := range live {
				if l.until <= now {
					delete(live, name)
				} else if name != node {
					others += l.rate
				}
			}
			// Whoever holds no lease has its reserve. What the cut ones hold still counts: beside it nobody gets more than it has.
			idle := reserve * float64(max(reached-len(live), 0))
			if most := limit * float64(reached) / float64(members); others+rate+idle > most*(1+1e-9)+1e-9 && rate > held*(1+1e-9) {
				t.Fatalf("%s got %v while others hold %v and %v is for those that are idle: more than %v (fewer are reached: %v)", node, rate, others, idle, most, shrunk)
			}
			if others+rate > limit+reserve*float64(members)+1e-9 {
				t.Fatalf("%v is held of %v", others+rate, limit)
			}
		}
	})
}

func TestOwnersAreSpreadAndMoveLittle(t *testing.T) {
	members := []string{"a", "b", "c", "d", "e"}
	const keys = 10_000
	count := map[string]int{}
	moved := 0
	for i := range keys {
		key := fmt.Sprint("rule-", i)
		owner := OwnerOf(key, members)
		count[owner]++
		turned := slices.Clone(members)
		slices.Reverse(turned)
		if OwnerOf(key, turned) != owner {
			t.Fatal("the order of the members decides")
		}
		if without := OwnerOf(key, members[1:]); owner != "a" && without != owner {
			t.Fatalf("%s goes from %s to %s when a leaves", key, owner, without)
		} else if owner == "a" {
			moved++
		}
	}
	for _, m := range members {
		if n := count[m]; n < keys/5*85/100 || n > keys/5*115/100 {
			t.Errorf("%s owns %d of %d limits", m, n, keys)
		}
	}
	if OwnerOf("x", nil) != "" || OwnerOf("x", []string{"a"}) != "a" {
		t.Error("no member, or the only one")
	}
	if OwnerOf("bc", []string{"a"}) == "" || Fallback(90, 3) != 30 || Fallback(90, 0) != 90 || Fallback(-1, 3) != 0 || math.Abs(Reserve(90, 3)-0.3) > 1e-9 {
		t.Error("an equal part is limit / members")
	}
}

func BenchmarkGrant(b *testing.B) {
	for _, nodes := range []int{3, 10, 100} {
		names := make([]string, nodes)
		for i := range names {
			names[i] = fmt.Sprint("node-", i)
		}
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			o, now := NewOwner(1000, 0), time.Duration(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now += time.Millisecond
				o.Grant(now, names[i%nodes], float64(i%nodes*50), nodes, nodes)
			}
		})
	}
}
