package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
)

func TestABatchIsOneVersion(t *testing.T) {
	o := NewOwn(7)
	changed := func(n uint64) *router.Registration {
		r := login(n)
		r.Draining = true
		return r
	}
	for i, step := range []struct {
		what    string
		changes []router.Change
		version uint64
		count   int
	}{
		{"nothing", nil, 0, 0},
		{"a logout of nobody", []router.Change{gone(1)}, 0, 0},
		{"who came and went", []router.Change{put(login(1)), gone(1)}, 0, 0},
		{"two logins", []router.Change{put(login(1)), put(login(2))}, 1, 2},
		{"the same again", []router.Change{put(login(1)), put(login(2))}, 1, 2},
		{"gone and back", []router.Change{gone(1), put(login(1))}, 1, 2},
		{"drains", []router.Change{put(changed(1))}, 2, 2},
		{"drains and back", []router.Change{put(changed(2)), put(login(2))}, 2, 2},
		{"one leaves, one comes", []router.Change{gone(1), put(login(3))}, 3, 2},
		{"both leave", []router.Change{gone(2), gone(3), gone(4)}, 4, 0},
	} {
		before := o.Mark()
		if made := o.Apply(step.changes); made != (o.Mark() != before) {
			t.Errorf("%d, %s: made %v", i, step.what, made)
		}
		if o.Mark() != (Mark{7, step.version}) || o.Count() != step.count {
			t.Errorf("%d, %s: %v with %d entries, want version %d with %d", i, step.what, o.Mark(), o.Count(), step.version, step.count)
		}
		if err := o.Check(); err != nil {
			t.Error(err)
		}
	}
	if o.Digest() != (Digest{}) {
		t.Errorf("the digest of nothing is %v", o.Digest())
	}
}

func TestTheDigestDoesNotDependOnTheOrder(t *testing.T) {
	a, b := NewOwn(1), NewOwn(2)
	for i := range uint64(50) {
		a.Apply([]router.Change{put(login(1 + i))})
		b.Apply([]router.Change{put(login(50 - i)), put(login(100 + i))})
	}
	for i := range uint64(50) {
		b.Apply([]router.Change{gone(100 + i)})
	}
	if a.Digest() != b.Digest() || a.Digest() == (Digest{}) {
		t.Errorf("%v and %v", a.Digest(), b.Digest())
	}
	if got := a.Digest().plus(b.Digest()).minus(a.Digest()); got != b.Digest() {
		t.Errorf("plus and minus lead to %v", got)
	}
	if got := (Digest{}).minus(Digest{15: 1}); got != Digest([]byte(strings.Repeat("\xff", 16))) {
		t.Errorf("0 - 1 is %v", got)
	}
}

func TestACorruptDigestIsFound(t *testing.T) {
	o := NewOwn(1)
	o.Apply([]router.Change{put(login(1))})
	o.digest[3]++
	if err := o.Check(); err == nil {
		t.Error("not found")
	}
	o.Reincarnate(2)
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}

func TestReincarnation(t *testing.T) {
	o := NewOwn(5)
	o.Reincarnate(6)
	o.Apply([]router.Change{put(login(1))})
	o.Apply([]router.Change{gone(1)})
	o.Reincarnate(7)
	if o.Mark() != (Mark{7, 0}) {
		t.Errorf("empty: %v", o.Mark())
	}
	o.Apply([]router.Change{put(login(1))})
	o.Apply([]router.Change{put(login(2))})
	o.Reincarnate(7)
	o.Reincarnate(6)
	if o.Mark() != (Mark{7, 2}) {
		t.Errorf("not above: %v", o.Mark())
	}
	o.Reincarnate(9)
	if o.Mark() != (Mark{9, 1}) || o.Count() != 2 {
		t.Errorf("%v with %d entries", o.Mark(), o.Count())
	}
	if x := o.transfer(Mark{9, 0}, maxPuts); !x.snapshot {
		t.Error("who holds version 0 of the new incarnation gets a delta, which cannot be")
	}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}

func TestWhatNobodyWouldTakeIsLeftOut(t *testing.T) {
	o := NewOwn(1)
	wrong := []func(*router.Registration){
		func(r *router.Registration) { r.Module = "" }, func(r *router.Registration) { r.Instance = "a b" },
		func(r *router.Registration) { r.UUID = strings.Repeat("u", 65) }, func(r *router.Registration) { r.Weight = 1001 },
		func(r *router.Registration) { r.Stamp.N = 0 }, func(r *router.Registration) { r.Methods = manyMethods(1025, "m") },
		func(r *router.Registration) { r.Methods = manyMethods(1000, strings.Repeat("m", 100)) },
		func(r *router.Registration) { r.Methods = manyMethods(1, "a.b") },
	}
	for i, spoil := range wrong {
		r := login(uint64(1 + i))
		spoil(r)
		if o.Apply([]router.Change{put(r)}) || o.Unfit() != uint64(1+i) {
			t.Errorf("%d: %d left out", i, o.Unfit())
		}
	}
	o.Apply([]router.Change{put(login(20))})
	r := login(20)
	r.Weight = 5000
	if !o.Apply([]router.Change{put(r)}) || o.Count() != 0 {
		t.Error("a session that says what nobody takes is still there as it was")
	}
	o.Apply([]router.Change{{Session: 21, Registration: login(22)}})
	if o.Count() != 0 {
		t.Error("a change of session 21 brought session 22")
	}
}

func manyMethods(n int, prefix string) *router.Methods {
	byName := make(map[string]router.Contract, n)
	for i := range n {
		byName[fmt.Sprintf("%s%d", prefix, i)] = router.Contract{}
	}
	return router.NewMethods(byName)
}

func TestTheRingReachesBackSoFar(t *testing.T) {
	o := NewOwn(1)
	for i := range uint64(ringVersions + 10) {
		o.Apply([]router.Change{put(login(1 + i%500)), gone(1 + (i+250)%500)})
	}
	now := o.Mark().Version
	for _, c := range []struct {
		from     uint64
		snapshot bool
	}{{now - ringVersions, false}, {now - ringVersions - 1, true}, {0, true}, {now - 1, false}} {
		x := o.transfer(Mark{1, c.from}, 1000)
		if x.snapshot != c.snapshot {
			t.Errorf("from %d to %d: snapshot %v", c.from, now, x.snapshot)
		}
	}
	if x := o.transfer(Mark{1, now - 1}, maxPuts); len(x.puts)+len(x.dels) != 2 {
		t.Errorf("one version has %d + %d keys, must have 2", len(x.puts), len(x.dels))
	}
	if x := o.transfer(Mark{2, now - 1}, maxPuts); !x.snapshot {
		t.Error("another incarnation gets a delta")
	}

	var all []router.Change
	for i := range uint64(ringKeys + 1) {
		all = append(all, put(login(1000+i)))
	}
	o.Apply(all)
	if x := o.transfer(Mark{1, now}, maxPuts); !x.snapshot || len(o.ring.versions) != 0 || o.ring.keys != 0 {
		t.Errorf("the ring holds %d keys of a version that is larger than it", o.ring.keys)
	}
	o.Apply([]router.Change{gone(1000)})
	if x := o.transfer(Mark{1, now + 1}, maxPuts); x.snapshot {
		t.Error("after a large version the ring holds nothing any more")
	}
}

func TestADeltaLargerThanTheSnapshotIsOne(t *testing.T) {
	o := NewOwn(1)
	for i := range uint64(20) {
		o.Apply([]router.Change{put(login(1 + i))})
	}
	for i := range uint64(18) {
		o.Apply([]router.Change{gone(1 + i)})
	}
	if x := o.transfer(Mark{1, 0}, 4); !x.snapshot || len(x.puts) != 2 {
		t.Errorf("snapshot %v of %d", x.snapshot, len(x.puts))
	}
	if x := o.transfer(Mark{1, 0}, maxPuts); x.snapshot {
		t.Error("what fits one part is a delta")
	}
}

func TestTheCanonicalEncodingIsProtobufs(t *testing.T) {
	full := login(1 << 63)
	full.Zone, full.Draining, full.Weight, full.Since = "z1", true, 1000, time.Second
	full.Stamp = router.Stamp{N: 1<<63 - 1, Node: strings.Repeat("n", 127)}
	bare := &router.Registration{Session: 1, Module: "m", Instance: "i", UUID: "u", Stamp: router.Stamp{N: 1, Node: "a"}}
	for _, r := range []*router.Registration{full, bare} {
		e := toEntry(r, 2*time.Second)
		e.AgeMs = 0
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEntry(nil, r); string(got) != string(want) {
			t.Errorf("encoded as\n%x, want\n%x", got, want)
		}
	}
}

func TestEveryFieldIsInTheDigest(t *testing.T) {
	var h hasher
	plain := h.hash(login(3))
	for name, change := range map[string]func(*router.Registration){
		"session": func(r *router.Registration) { r.Session++ }, "module": func(r *router.Registration) { r.Module = "x" },
		"instance": func(r *router.Registration) { r.Instance = "x" }, "uuid": func(r *router.Registration) { r.UUID = "x" },
		"group": func(r *router.Registration) { r.Group = "" }, "weight": func(r *router.Registration) { r.Weight = 0 },
		"zone": func(r *router.Registration) { r.Zone = "x" }, "version": func(r *router.Registration) { r.AppVersion = "x" },
		"stamp": func(r *router.Registration) { r.Stamp.N++ }, "node": func(r *router.Registration) { r.Stamp.Node = "x" },
		"methods": func(r *router.Registration) { r.Methods = nil }, "draining": func(r *router.Registration) { r.Draining = true },
	} {
		r := login(3)
		change(r)
		if same(r, login(3)) || h.hash(r) == plain {
			t.Errorf("%s makes no difference", name)
		}
	}
	r := login(3)
	r.Since, r.Needs, r.Remote = time.Hour, []string{"x"}, "y"
	if !same(r, login(3)) || h.hash(r) != plain {
		t.Error("what is said on one node only makes a difference")
	}
}
