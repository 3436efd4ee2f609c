package registry

import (
	"cmp"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// act lets one thing happen.
func (w *world) act() {
	switch dice := w.rnd.IntN(100); {
	case dice < 55:
		if n := w.pick(); n != nil {
			n.change()
		}
	case dice < 62:
		w.crashOrRestart()
	case dice < 72:
		a, b := w.two()
		p := &w.paths[a.index][b.index]
		p.blocked = !p.blocked
		if w.rnd.IntN(2) == 0 {
			w.paths[b.index][a.index].blocked = p.blocked
		}
		w.tracef("%s → %s blocked %v", a.name, b.name, p.blocked)
	case dice < 80:
		a, b := w.two()
		rates := []float64{0, 0, 0.05, 0.3}
		p := &w.paths[a.index][b.index]
		p.loss, p.twice, p.mixes = rates[w.rnd.IntN(4)], rates[w.rnd.IntN(4)], rates[w.rnd.IntN(4)]
		w.tracef("%s → %s loses %v, doubles %v, mixes %v", a.name, b.name, p.loss, p.twice, p.mixes)
	case dice < 86:
		if a, b := w.two(); a.running() {
			w.tracef("%s closes %s", a.name, b.name)
			a.close(b)
		}
	case dice < 90:
		if a, b := w.two(); a.running() {
			a.changeMember(b)
		}
	case dice < 93:
		if n := w.pick(); n != nil {
			n.paused = w.now + time.Duration(w.rnd.IntN(6000))*time.Millisecond
			w.tracef("%s pauses until %v", n.name, n.paused)
		}
	case dice < 95:
		if n := w.pick(); n != nil {
			n.kept++
			n.own.Reincarnate(n.kept)
			n.remember()
			w.tracef("%s raises itself to %v", n.name, n.own.Mark())
		}
	default:
		if a, b := w.two(); a.running() {
			a.call(b)
		}
	}
}

// change logs sessions of a node in and out.
func (n *node) change() {
	w := n.w
	sessions := n.sessions()
	many := 1
	if w.rnd.IntN(12) == 0 {
		many = 30
	}
	for range 1 + w.rnd.IntN(3)*w.rnd.IntN(many) {
		var r *router.Registration
		if len(sessions) > 0 {
			r = sessions[w.rnd.IntN(len(sessions))]
		}
		switch dice := w.rnd.IntN(10); {
		case r == nil || dice < 5:
			n.changes = append(n.changes, put(n.newSession()))
		case dice < 8:
			n.changes = append(n.changes, gone(r.Session))
		case dice < 9:
			changed := *r
			changed.Draining, changed.Methods = w.rnd.IntN(2) == 0, contracts[w.rnd.IntN(len(contracts))]
			n.changes = append(n.changes, put(&changed))
		default: // came and went, within one batch
			brief := n.newSession()
			n.changes = append(n.changes, put(brief), gone(brief.Session))
		}
	}
	w.tracef("%s: %d changes", n.name, len(n.changes))
	if w.rnd.IntN(2) == 0 {
		n.apply()
	}
}

// crashOrRestart ends a process or begins one. Its disk may be lost, and its clock go back.
func (w *world) crashOrRestart() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	if n.alive {
		w.tracef("%s crashes", n.name)
		w.tally.Crashes++
		n.crash()
	}
	if w.rnd.IntN(3) == 0 {
		return // stays away for a while
	}
	n.restart()
}

func (n *node) crash() {
	n.alive = false
	for i, o := range n.peers {
		if o != nil {
			n.close(n.w.nodes[i])
		}
	}
}

func (n *node) restart() {
	switch n.w.rnd.IntN(3) {
	case 0:
		n.kept, n.clock = 0, uint64(900+n.w.rnd.IntN(200))
	case 1:
		n.clock += 1000
	}
	n.start()
}

// changeMember removes a member from a node's list, or adds it.
func (n *node) changeMember(to *node) {
	o := n.peers[to.index]
	o.member = !o.member
	n.w.tracef("%s has %s as a member: %v", n.name, to.name, o.member)
	if o.member {
		return
	}
	n.w.tally.Removed++
	n.close(to)
	known := o.view.Highest()
	changes := o.view.Forget()
	if o.view.Highest() != known || o.view.Count() != 0 {
		n.w.failf("%s forgot %s: %d entries of incarnation %d, which was %d", n.name, to.name, o.view.Count(), o.view.Highest(), known)
	}
	o.mark = Mark{}
	n.follow(to, changes)
}

// call goes to a session that a node believes in: P8.
func (n *node) call(to *node) {
	o := n.peers[to.index]
	if o.x == nil || o.x.State(n.w.now) != Up || len(o.held) == 0 || !to.alive {
		return
	}
	for session, r := range o.held {
		if there := to.own.entries[session]; there == nil {
			o.x.Doubt(n.w.now)
		} else if there.Module != r.Module || there.Instance != r.Instance {
			n.w.failf("P8: session %d of %s is another one than %s believes", session, to.name, n.name)
		}
	}
}

// settle heals the network, wholly or but for what is blocked, and wants everybody to know everything soon.
func (w *world) settle() {
	w.tracef("settles")
	heal := w.rnd.IntN(4) > 0
	for _, n := range w.nodes {
		n.paused = 0
		if !n.alive && heal {
			n.restart()
		}
		for i := range w.nodes {
			w.paths[n.index][i].loss, w.paths[n.index][i].twice, w.paths[n.index][i].mixes = 0, 0, 0
			if heal {
				w.paths[n.index][i].blocked = false
				if o := n.peers[i]; o != nil {
					o.member = true
				}
			}
		}
	}
	from := w.now
	w.room = 40
	defer func() { w.room = 4 }()
	for w.step(0); ; w.step(250 * time.Millisecond) {
		problem := w.unsettled()
		if problem == "" {
			break
		}
		if w.now-from > 10*time.Second {
			w.failf("P4: %s", problem)
		}
	}
	w.tally.Slowest = max(w.tally.Slowest, int((w.now - from).Milliseconds()))
	w.tracef("settled")
	for _, n := range w.nodes {
		if n.alive {
			if err := n.own.Check(); err != nil {
				w.failf("%v", err)
			}
		}
		for _, o := range n.peers {
			if o != nil {
				if err := o.view.Check(); err != nil {
					w.failf("%v", err)
				}
			}
		}
	}
	if heal {
		w.sameWinners()
	}
	if w.rnd.IntN(16) == 0 {
		w.idle()
	}
}

// unsettled returns what is not yet as it must become: P4 to P7.
func (w *world) unsettled() string {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a == b || !a.alive {
				continue
			}
			o := a.peers[b.index]
			usable := o.x != nil && o.x.State(w.now) == Up
			reaches := b.alive && o.member && b.peers[a.index].member &&
				!w.paths[a.index][b.index].blocked && !w.paths[b.index][a.index].blocked
			switch {
			case usable != reaches:
				return "P5: " + a.name + " uses " + b.name + ", or should"
			case reaches && (o.view.Mark() != b.own.Mark() || o.view.Digest() != b.own.Digest()):
				return a.name + " has not heard all of " + b.name
			case reaches && !equal(o.held, b.own.entries):
				return "P6, P7: the table of " + a.name + " is not what " + b.name + " has"
			}
		}
	}
	return ""
}

// sameWinners wants one winner of each name everywhere: P9. All links are up.
func (w *world) sameWinners() {
	first := w.nodes[0].winners()
	for _, n := range w.nodes[1:] {
		for name, uuid := range n.winners() {
			if first[name] != uuid {
				w.failf("P9: %s is %s to %s, %s to %s", name, uuid, n.name, first[name], w.nodes[0].name)
			}
			w.tally.Winners++
		}
	}
}

// winners is who has each name, as a node sees it.
func (n *node) winners() map[string]string {
	best := make(map[string]*router.Registration)
	see := func(r *router.Registration) {
		if b := best[r.Instance]; b == nil || cmp.Or(b.Stamp.Compare(r.Stamp), cmp.Compare(b.UUID, r.UUID)) < 0 {
			best[r.Instance] = r
		}
	}
	for r := range n.own.Each {
		see(r)
	}
	for _, o := range n.peers {
		if o != nil {
			for _, r := range o.held {
				see(r)
			}
		}
	}
	winners := make(map[string]string)
	for name, r := range best {
		winners[name] = r.UUID
	}
	return winners
}

// idle wants nothing but one heartbeat per link, direction and second: P11.
func (w *world) idle() {
	for range 8 {
		w.step(250 * time.Millisecond) // what was asked meanwhile is answered
	}
	type side struct{ a, b int }
	before := make(map[side]Counters)
	for a, n := range w.nodes {
		for b, o := range n.peers {
			if o != nil && o.x != nil && n.alive && o.x.State(w.now) == Up {
				before[side{a, b}] = o.x.Counters()
			}
		}
	}
	const seconds = 5
	for range seconds * 4 {
		w.step(250 * time.Millisecond)
	}
	for s, c := range before {
		w.tally.Quiet++
		x := w.nodes[s.a].peers[s.b].x
		if x == nil {
			w.failf("P11: a link was given up while all was quiet")
		}
		d := x.Counters()
		said := d.PartsSent + d.ResyncsSent - c.PartsSent - c.ResyncsSent
		if beats := d.HeartbeatsSent - c.HeartbeatsSent; said != 0 || beats < seconds-1 || beats > seconds+1 {
			w.failf("P11: in %d quiet seconds %s sent %s %d heartbeats and %d other frames", seconds, w.nodes[s.a].name, w.nodes[s.b].name, beats, said)
		}
	}
}
