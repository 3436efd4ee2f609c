package peer

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/pb"
)

// Counters say what the peers of a node have done.
type Counters struct {
	Opened      atomic.Uint64 // links
	Refused     atomic.Uint64 // connections that ended before they were open
	Breaches    atomic.Uint64 // links ended by a breach of the protocol
	LateAnswers atomic.Uint64 // RESPONSE for a call that was not under way
	Inbound     inbound.Counters
}

// Counters returns the counters, which go on counting.
func (p *Peers) Counters() *Counters { return &p.counters }

// Link describes this node's end of the link to one member.
type Link struct {
	Peer       string
	Number     int
	Address    string
	State      State
	Age        time.Duration // of the state
	Cause      string        // why it is not up
	LastError  string        // the last one, also of a link that is up again
	RTT        time.Duration // 0: not known
	Unanswered time.Duration // since the oldest heartbeat that the other side has not confirmed

	// What this node has of the member's registry, and how that came about.
	Incarnation, Version uint64
	Entries              int
	Digest               string
	Registry             registry.Counters

	InFlight            int // calls that went over the link
	Incoming            int // calls that came over it
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	Queued              int
}

// Links describes the links to all other members, by name.
func (p *Peers) Links() []Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	all := make([]Link, 0, len(p.members))
	for _, m := range p.members {
		all = append(all, m.viewLocked(now))
	}
	slices.SortFunc(all, func(a, b Link) int { return strings.Compare(a.Peer, b.Peer) })
	return all
}

func (m *member) viewLocked(now time.Duration) Link {
	digest := m.view.Digest()
	v := Link{
		Peer: m.name, Number: m.number, Address: m.address, State: m.state, Age: now - m.since, Cause: text(m.cause), LastError: text(m.lastError),
		Incarnation: m.view.Mark().Incarnation, Version: m.view.Mark().Version, Entries: m.view.Count(), Digest: hex.EncodeToString(digest[:]),
	}
	l := m.link
	if l == nil {
		return v
	}
	if l.exchange != nil {
		v.RTT, v.Unanswered, v.Registry = l.exchange.RTT(), l.exchange.OldestUnanswered(now), l.exchange.Counters()
	}
	if l.inbound != nil {
		v.Incoming = l.inbound.Len()
	}
	stats := l.conn.Stats()
	v.InFlight = l.slots.Len()
	v.FramesIn, v.FramesOut, v.BytesIn, v.BytesOut, v.Queued = stats.FramesIn, stats.FramesOut, stats.BytesIn, stats.BytesOut, stats.Queued
	return v
}

// Own describes this node's registry, as it tells it.
func (p *Peers) Own() (m registry.Mark, entries int, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.own.Digest()
	return p.own.Mark(), p.own.Count(), hex.EncodeToString(d[:])
}

// Nodes returns the ways into the mesh: this node, and the members whose link is up.
func (p *Peers) Nodes() []*pb.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodesLocked()
}

func (p *Peers) nodesLocked() []*pb.Node {
	all := []*pb.Node{{Name: p.opts.Node, Address: p.opts.ModuleAddress}}
	for _, m := range p.members {
		if m.state == StateUp && m.moduleAddress != "" {
			all = append(all, &pb.Node{Name: m.name, Address: m.moduleAddress})
		}
	}
	slices.SortFunc(all[1:], func(a, b *pb.Node) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

// Try returns the members whose link is up and that reach one of the owners, or are one: who cannot be reached from here can
// be reached from there.
func (p *Peers) Try(owners []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, m := range p.members {
		if m.state != StateUp {
			continue
		}
		reaches := m.link.exchange.Heard().Reaches
		if slices.ContainsFunc(owners, func(owner string) bool {
			o := p.members[owner]
			return o != nil && (o == m || slices.Contains(reaches, uint32(o.number)))
		}) {
			all = append(all, m.name)
		}
	}
	slices.Sort(all)
	return all
}
