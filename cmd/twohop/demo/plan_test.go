package demo

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"
)

func TestPlanIsTheSameForASeed(t *testing.T) {
	series := func(seed uint64) (all []strike) {
		p := newPlan(seed)
		for range 50 {
			all = append(all, p.next())
		}
		return all
	}
	one := series(7)
	if !slices.Equal(one, series(7)) {
		t.Error("seed 7 makes two plans")
	}
	if slices.Equal(one, series(8)) {
		t.Error("seeds 7 and 8 make the same plan")
	}
	node := 0
	hit := map[string]bool{}
	c := newCast(nil, "", nil)
	for n, s := range one {
		if want := []string{roleNode, moduleTrade, moduleRank}[n%3]; s.role != want {
			t.Fatalf("strike %d is at %s, want %s", n, s.role, want)
		}
		if n > 0 && (s.after < time.Second || s.after >= 2*time.Second) {
			t.Errorf("strike %d comes after %s, want one to two seconds", n, s.after)
		}
		if s.role == roleNode {
			node = s.index
		} else if who := numbered(s.role, s.index); !slices.Contains(seats[who], node) {
			t.Errorf("strike %d is at %s, which was not at node-%d", n, who, node+1)
		}
		hit[c.parts(s.role)[s.index].name] = true
	}
	if len(hit) != len(c.nodes)+len(c.instances) {
		t.Errorf("50 strikes are at %v", hit)
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPace(1000, now)
	for range 5000 {
		now = now.Add(p.next(now))
	}
	if got := now.Sub(time.Unix(0, 0)); got < 4990*time.Millisecond || got > 5010*time.Millisecond {
		t.Errorf("5,000 gifts at 1,000 a second took %s", got)
	}
	now = now.Add(time.Minute) // nobody took one
	burst := 0
	for p.next(now) == 0 {
		burst++
	}
	if burst < 90 || burst > 110 {
		t.Errorf("after a pause %d gifts came at once, want those of %s", burst, maxBehind)
	}
	for free := newPace(0, now); burst > 0; burst-- {
		if free.next(now) != 0 {
			t.Fatal("without a rate there is a pause")
		}
	}
}

func TestQuantilesAreExact(t *testing.T) {
	b := newBooks()
	if p50, p99 := b.quantiles(0); p50 != 0 || p99 != 0 {
		t.Errorf("of nothing: %d and %d", p50, p99)
	}
	for n := range uint32(200) {
		b.micros = append(b.micros, 200-n)
	}
	for _, c := range []struct {
		last     int
		p50, p99 uint32
	}{{0, 100, 198}, {100, 50, 99}, {1, 1, 1}, {1000, 100, 198}} {
		if p50, p99 := b.quantiles(c.last); p50 != c.p50 || p99 != c.p99 {
			t.Errorf("of the last %d: %d and %d, want %d and %d", c.last, p50, p99, c.p50, c.p99)
		}
	}
	if b.micros[0] != 200 {
		t.Error("the ends are out of order")
	}
}

func TestScreenRedrawsInPlaceAndPrintsAbove(t *testing.T) {
	var out, errors bytes.Buffer
	s := &screen{out: &out, errors: &errors, live: true}
	s.draw([]string{"a", "b"})
	s.draw([]string{"c"})
	s.warnf("bad %d", 1)
	s.leave()
	s.sayf("end")
	const up2, up = "\x1b[2A\r" + eraseBelow, "\x1b[1A\r" + eraseBelow
	want := wrapOff + "a\nb\n" + wrapOn + up2 + wrapOff + "c\n" + wrapOn + up + wrapOff + "c\n" + wrapOn + "end\n"
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
	if errors.String() != "demo: bad 1\n" {
		t.Errorf("stderr has %q", errors.String())
	}
}

func TestGroup(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567", math.MinInt32: "-2,147,483,648"} {
		if got := group(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}
