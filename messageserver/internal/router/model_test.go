package router

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

var plans = flag.Int("plans", 300, "how many random plans TestTheTableIsWhatTheModelSays plays")

// model is the same as the directory and its tables, told in the simplest way: one list, searched each time.
type model struct {
	h     *house
	rnd   *rand.Rand
	links map[string]*neighbour // the three others
	up    map[string]bool
	reach bool // the last step moved a node, and no session

	claims  map[uint64]*modelClaim
	targets map[uint64]*fakeTarget     // of all sessions of this node that ever were
	told    map[uint64]bool            // those that must know by now
	holder  map[string]string          // by name
	taken   map[string][]time.Duration // takeovers by name
	held    map[string]time.Duration   // until when
	picks   map[string]*governance.Instance
	replica map[uint64]*Registration // what Changes says of this node
	next    uint64
}

type modelClaim struct {
	node string
	reg  *Registration
}

// TestTheTableIsWhatTheModelSays plays random sessions on four nodes that come into reach and leave it.
func TestTheTableIsWhatTheModelSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var held, routed, refused int
	for i := range *plans {
		m := newModel(t, rand.New(rand.NewPCG(seed, uint64(i))))
		for range 120 {
			m.step()
			m.compare()
			if t.Failed() {
				t.Fatalf("plan %d of seed %d", i, seed)
			}
			if code := m.call(); code == wire.OK {
				routed++
			} else {
				refused++
			}
			held += len(m.held)
		}
		m.h.check()
	}
	if held == 0 || routed == 0 || refused == 0 {
		t.Errorf("%d calls routed, %d refused, names held down in %d steps: the plans do not cover it", routed, refused, held)
	}
}

func newModel(t *testing.T, rnd *rand.Rand) *model {
	m := &model{
		h: newHouse(t, Options{}), rnd: rnd, links: map[string]*neighbour{}, up: map[string]bool{"a": true},
		claims: map[uint64]*modelClaim{}, targets: map[uint64]*fakeTarget{}, told: map[uint64]bool{}, holder: map[string]string{},
		taken: map[string][]time.Duration{}, held: map[string]time.Duration{}, picks: map[string]*governance.Instance{},
		replica: map[uint64]*Registration{}, next: 100,
	}
	for _, node := range []string{"b", "c", "d"} {
		m.links[node] = &neighbour{&fakeTarget{h: m.h, name: node}, node}
	}
	return m
}

// registration makes up what a session says. There are few names, so that processes meet.
func (m *model) registration() *Registration {
	m.next++
	process := m.rnd.IntN(4)
	reg := &Registration{
		Session: m.next, Module: []string{"pay", "rank"}[m.rnd.IntN(2)], Instance: []string{"one", "two"}[m.rnd.IntN(2)],
		UUID: fmt.Sprint("u", process), Stamp: Stamp{uint64(process*7%4 + m.rnd.IntN(2)), "a"}, Group: []string{"", "g"}[m.rnd.IntN(2)],
		Methods: m.methods(), Draining: m.rnd.IntN(6) == 0, Since: -time.Hour,
	}
	return reg
}

func (m *model) methods() *Methods {
	names := []string{"Move", "Stay"}[:1+m.rnd.IntN(2)]
	all := map[string]Contract{}
	for _, name := range names {
		all[name] = Contract{Idempotent: m.rnd.IntN(2) == 0}
	}
	return NewMethods(all)
}

// sessionsOf lists a node's sessions.
func (m *model) sessionsOf(node string) []uint64 {
	var list []uint64
	for session, c := range m.claims {
		if c.node == node {
			list = append(list, session)
		}
	}
	slices.Sort(list)
	return list
}

// some returns one of a node's sessions, or one that is none.
func (m *model) some(node string) uint64 {
	if list := m.sessionsOf(node); len(list) > 0 {
		return list[m.rnd.IntN(len(list))]
	}
	return 1
}

// step does one thing to both.
func (m *model) step() {
	node := []string{"b", "c", "d"}[m.rnd.IntN(3)]
	link := m.links[node]
	m.reach = false
	switch m.rnd.IntN(14) {
	case 0, 1, 2:
		reg := m.registration()
		f := &fakeTarget{h: m.h, name: "session", session: reg.Session}
		m.targets[reg.Session] = f
		m.claims[reg.Session] = &modelClaim{"a", reg}
		m.h.r.Register(reg, f)
	case 3:
		session, methods := m.some("a"), m.methods()
		m.amend(session, func(r *Registration) { r.Methods = methods })
		m.h.r.Update(session, methods)
	case 4:
		session := m.some("a")
		m.amend(session, func(r *Registration) { r.Draining = true })
		m.h.r.Drain(session)
	case 5, 6:
		session := m.some("a")
		delete(m.claims, session)
		m.h.r.Unregister(session)
	case 7, 8, 9:
		var changes []Change
		for range 1 + m.rnd.IntN(3) {
			if m.rnd.IntN(3) == 0 {
				session := m.some(node)
				delete(m.claims, session)
				changes = append(changes, Change{session, nil})
				continue
			}
			reg := m.registration()
			if m.rnd.IntN(3) == 0 && len(m.sessionsOf(node)) > 0 { // what a session says has changed
				reg.Session = m.some(node)
			}
			m.claims[reg.Session] = &modelClaim{node, reg}
			changes = append(changes, Change{reg.Session, reg})
		}
		m.h.r.Announce(node, changes)
	case 10:
		m.up[node], m.reach = true, true
		m.h.r.Connect(node, link)
	case 11:
		m.up[node], m.reach = false, true
		m.h.r.Disconnect(node, link)
	case 12:
		for _, session := range m.sessionsOf(node) {
			delete(m.claims, session)
		}
		m.up[node] = false
		m.h.r.Forget(node)
	case 13:
		m.h.pass(time.Duration(m.rnd.IntN(20)) * 100 * time.Millisecond)
		maps.DeleteFunc(m.held, func(_ string, until time.Duration) bool { return m.h.now >= until })
	}
}

func (m *model) amend(session uint64, edit func(*Registration)) {
	if c := m.claims[session]; c != nil {
		reg := *c.reg
		edit(&reg)
		m.claims[session] = &modelClaim{c.node, &reg}
	}
}

// expected is what must be seen of one name.
type expected struct {
	uuid   string
	usable map[uint64]*modelClaim
	away   map[uint64]*modelClaim
	all    int // paths
}

// judge decides a name, and notes takeovers and who is to be told.
func (m *model) judge(key string) *expected {
	var claims []*modelClaim
	for _, c := range m.claims {
		if c.reg.Module+"/"+c.reg.Instance == key {
			claims = append(claims, c)
		}
	}
	if len(claims) == 0 {
		delete(m.holder, key)
		return nil
	}
	slices.SortFunc(claims, func(x, y *modelClaim) int {
		if m.up[x.node] != m.up[y.node] {
			if m.up[x.node] {
				return -1
			}
			return 1
		}
		return -cmp.Or(x.reg.Stamp.Compare(y.reg.Stamp), cmp.Compare(x.reg.UUID, y.reg.UUID))
	})
	best := claims[0]
	e := &expected{uuid: best.reg.UUID, usable: map[uint64]*modelClaim{}, away: map[uint64]*modelClaim{}}
	for _, c := range claims {
		newest := !slices.ContainsFunc(claims, func(o *modelClaim) bool {
			return o.node == c.node && o.reg.UUID == c.reg.UUID && o.reg.Session > c.reg.Session
		})
		wins := c.reg.UUID == e.uuid && newest
		if c.node == "a" && !wins {
			m.told[c.reg.Session] = true
		}
		switch {
		case !wins:
			continue
		case m.up[c.node]:
			e.usable[c.reg.Session] = c
		default:
			e.away[c.reg.Session] = c
		}
		e.all++
	}
	if !m.up[best.node] {
		return e
	}
	was := m.holder[key]
	m.holder[key] = e.uuid
	rivals := was != e.uuid && slices.ContainsFunc(claims, func(c *modelClaim) bool { return c.reg.UUID == was })
	if _, held := m.held[key]; !rivals || held || m.reach {
		return e
	}
	m.taken[key] = append(slices.DeleteFunc(m.taken[key], func(at time.Duration) bool { return m.h.now-at >= takeoverWindow }), m.h.now)
	if len(m.taken[key]) > takeovers {
		m.held[key] = m.h.now + holdDown
		delete(m.taken, key)
	}
	return e
}

// compare looks at every name, from outside and at the table.
func (m *model) compare() {
	t := m.h.t
	t.Helper()
	if err := m.h.r.ConsistencyCheck(); err != nil {
		t.Error(err)
	}
	table := m.h.r.table.Load()
	for _, module := range []string{"pay", "rank"} {
		choosable := map[string]*expected{}
		for _, instance := range []string{"one", "two"} {
			key := module + "/" + instance
			want, got := m.judge(key), table.find(module, instance)
			until, held := m.held[key]
			if left := m.h.r.HeldDown(module, instance); held && left != until-m.h.now || !held && left != 0 {
				t.Errorf("%s is held down for %v, want until %v at %v", key, left, until, m.h.now)
			}
			if want == nil || got == nil {
				if want != nil || got != nil {
					t.Errorf("%s is %v, want %v", key, got, want)
				}
				delete(m.picks, key)
				continue
			}
			m.compareEntry(key, got, want, held)
			if got.choosable() {
				choosable[instance] = want
			}
		}
		if m.h.r.HasModule(module) != (len(choosable) > 0) {
			t.Errorf("HasModule(%s) is %t with %d that can be chosen", module, len(choosable) == 0, len(choosable))
		}
		m.compareMethods(module, choosable)
	}
	for session, f := range m.targets {
		if f.replaced != m.told[session] {
			t.Errorf("session %d was told that it is replaced: %t, want %t", session, f.replaced, m.told[session])
		}
	}
	for _, c := range m.h.r.Changes() {
		m.replica[c.Session] = c.Registration
		if c.Registration == nil {
			delete(m.replica, c.Session)
		}
	}
	own := slices.DeleteFunc(m.sessionsOf("a"), func(session uint64) bool { // the others hear nothing of a name that is held down
		reg := m.claims[session].reg
		_, held := m.held[reg.Module+"/"+reg.Instance]
		return held
	})
	if !slices.Equal(own, slices.Sorted(maps.Keys(m.replica))) {
		t.Errorf("who follows the changes knows %v, want %v", slices.Sorted(maps.Keys(m.replica)), own)
	}
	for _, session := range own {
		if got, want := m.replica[session], m.claims[session].reg; got.Methods != want.Methods || got.Draining != want.Draining {
			t.Errorf("who follows the changes has %+v of %d, want %+v", got, session, want)
		}
	}
}

func (m *model) compareEntry(key string, got *entry, want *expected, held bool) {
	t := m.h.t
	t.Helper()
	if got.pick.UUID != want.uuid || got.usable != len(want.usable) || len(got.paths) != want.all || got.held != held {
		t.Errorf("%s: process %s with %d of %d paths, held %t; want %s with %d of %d, held %t", key,
			got.pick.UUID, got.usable, len(got.paths), got.held, want.uuid, len(want.usable), want.all, held)
	}
	for i, p := range got.paths[:got.usable] {
		if want.usable[p.claim.reg.Session] == nil {
			t.Errorf("%s: session %d of %s can be used, says the table", key, p.claim.reg.Session, p.claim.owner.node)
		}
		if i > 0 && p.claim.home != nil && !p.claim.reg.Draining {
			t.Errorf("%s: the path of this node is not the first", key)
		}
		if i > 0 && got.paths[i-1].claim.reg.Draining && !p.claim.reg.Draining {
			t.Errorf("%s: a path that drains stands before one that does not", key)
		}
	}
	if before := m.picks[key]; before != nil && before.UUID == got.pick.UUID && before != got.pick {
		t.Errorf("%s: the process is another instance for balancing than before", key)
	}
	m.picks[key] = got.pick
	if m.h.r.HasInstance(got.reg.Module, got.reg.Instance) != (len(want.usable) > 0 && !held) {
		t.Errorf("%s: HasInstance says %t", key, len(want.usable) == 0)
	}
}

// compareMethods wants exactly those instances for a method that have it over a path that can be used.
func (m *model) compareMethods(module string, choosable map[string]*expected) {
	t := m.h.t
	t.Helper()
	mod := m.h.r.table.Load().modules[module]
	if mod == nil {
		return
	}
	for _, name := range []string{"Move", "Stay"} {
		var want, lasting, got []string
		for instance, e := range choosable {
			has, lasts := false, false
			for _, c := range e.usable {
				_, of := c.reg.Methods.ByName[name]
				has, lasts = has || of, lasts || !c.reg.Draining
			}
			if has {
				want = append(want, instance)
			}
			if has && lasts {
				lasting = append(lasting, instance)
			}
		}
		if len(lasting) > 0 {
			want = lasting // what drains is the last resort
		}
		if meth := mod.methods[name]; meth != nil {
			for _, i := range meth.all.instances {
				got = append(got, i.Name)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s.%s can be called at %v, want %v", module, name, got, want)
		}
	}
}

// call makes a call for whatever comes, and wants it at a session that may have it, over the way to its node, or a refusal
// that is true.
func (m *model) call() wire.Code {
	t := m.h.t
	t.Helper()
	module, method := []string{"pay", "rank"}[m.rnd.IntN(2)], []string{"Move", "Stay"}[m.rnd.IntN(2)]
	instance, group := []string{"", "one", "two"}[m.rnd.IntN(3)], []string{"", "g"}[m.rnd.IntN(2)]
	lasting := false
	fits := func(claims map[uint64]*modelClaim, key string) (any bool) {
		for _, c := range claims {
			_, has := c.reg.Methods.ByName[method]
			// The group of an instance is that of its first path; here all fit that may.
			if _, held := m.held[key]; has && !held && (instance == "" || instance == c.reg.Instance) {
				any = true
				lasting = lasting || m.up[c.node] && !c.reg.Draining
			}
		}
		return any
	}
	here, away := false, false
	for _, i := range []string{"one", "two"} {
		if e := m.judge(module + "/" + i); e != nil {
			here, away = here || fits(e.usable, module+"/"+i), away || fits(e.away, module+"/"+i)
		}
	}
	o, _, _ := m.h.submit(callSpec{method: method, edit: func(r *wire.Request) {
		r.Module, r.Instance, r.Group = []byte(module), []byte(instance), []byte(group)
	}})
	all := map[string]*fakeTarget{}
	for session, f := range m.targets {
		all[fmt.Sprint("session ", session)] = f
	}
	for node, l := range m.links {
		all[node] = l.fakeTarget
	}
	for name, f := range all {
		if f.slots.Len() == 0 {
			continue
		}
		c := m.claims[f.target()]
		switch {
		case c == nil, c.node == "a" && m.targets[c.reg.Session] != f, c.node != "a" && (m.links[c.node].fakeTarget != f || !m.up[c.node]):
			t.Errorf("the call went to session %d over %s", f.target(), name)
		case c.reg.Draining && group == "" && lasting && !m.h.r.table.Load().find(module, c.reg.Instance).lasting:
			t.Errorf("the call for %s/%s went to session %d, which drains, and others fit", module, instance, c.reg.Session)
		case c.reg.Module != module, instance != "" && c.reg.Instance != instance:
			t.Errorf("the call for %s/%s went to %+v", module, instance, c.reg)
		}
		f.end(f.last().CallID, End{Code: wire.OK, Hops: 2})
		o.want(t, wire.OK)
		return wire.OK
	}
	if o.count() != 1 {
		t.Fatal("the call is nowhere, and was not answered")
	}
	code := o.got[0].Code
	switch {
	case group == "" && here, code.Class() != wire.NotExecuted:
		t.Errorf("%s.%s at %q in %q was refused with %v, and somebody fits", module, method, instance, group, code)
	case code == wire.NoRoute && !away, group == "" && away && code != wire.NoRoute:
		t.Errorf("%s.%s at %q in %q was refused with %v; it fits somebody who is out of reach: %t", module, method, instance, group, code, away)
	}
	return code
}
