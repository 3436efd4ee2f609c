package caller

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// StateName names what a client does about its session.
type StateName string

// The names.
const (
	StateConnecting StateName = "connecting" // dials
	StateLoggingIn  StateName = "logging in"
	StateOpen       StateName = "open"
	StateWaiting    StateName = "waiting"  // before the next try
	StateReplaced   StateName = "replaced" // another process has the name; there is no next try
	StateClosed     StateName = "closed"
)

// State says where a client stands with one of its sessions.
type State struct {
	Name    StateName
	Since   time.Time
	Address string // of the last try; empty before the first
	// Reason is why a session is not even tried: because no other node is known, for example. Else empty.
	Reason  string
	Node    string // while open
	Session uint64 // while open
	// LastError is why the last session or try ended; it stays until there is another one.
	LastError error
}

// String returns the state for logs.
func (s State) String() string {
	text := fmt.Sprintf("%s since %s", s.Name, s.Since.Format(time.TimeOnly))
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if s.Address != "" {
		text += ", " + s.Address
	}
	if s.Node != "" {
		text += ", node " + s.Node
	}
	if s.LastError != nil {
		text += ", last error: " + s.LastError.Error()
	}
	return text
}

// set notes a path's state.
func (p *path) set(name StateName, address string, s *Session, err error) {
	state := State{Name: name, Since: time.Now(), Address: address}
	if s != nil {
		state.Node, state.Session = s.node, s.id
	}
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	state.LastError = p.state.LastError
	if err != nil {
		state.LastError = err
	}
	p.state = state
}

// States returns where each session stands.
func (c *Client) States() []State {
	c.mu.Lock()
	defer c.mu.Unlock()
	states := make([]State, 0, len(c.paths))
	for _, p := range c.paths {
		states = append(states, p.state)
	}
	return states
}

// outlook returns where the path stands that has most to say about why there is no session, and whether there is one.
func (c *Client) outlook() (state State, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.paths {
		if state.Name == "" || state.LastError == nil && p.state.LastError != nil {
			state = p.state
		}
	}
	return state, len(c.usable) > 0
}

// Open reports whether a session takes calls.
func (c *Client) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.usable) > 0
}

// WaitOpen waits until a session takes calls.
func (c *Client) WaitOpen(ctx context.Context) error {
	for {
		c.mu.Lock()
		open, opened := len(c.usable) > 0, c.opened
		c.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

// counters are a client's counters; the names are those of Stats.
type counters struct {
	late, rerouted, resent, oneWayDropped atomic.Uint64
}

// Stats is a reading of a client's counters.
type Stats struct {
	InFlight      int    // calls that are sent and have no answer
	Waiting       int    // calls that wait for a session
	Late          uint64 // answers that came after the end of their call, or for none
	Rerouted      uint64 // calls sent again because nobody had started them
	Resent        uint64 // idempotent calls sent again because their connection was lost
	OneWayDropped uint64 // one-way calls whose time was up before there was a session
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	inFlight, waiting := len(c.table.slots)-len(c.table.free), c.waiting.count+c.parked.count
	c.mu.Unlock()
	return Stats{
		InFlight: inFlight, Waiting: waiting,
		Late: c.stats.late.Load(), Rerouted: c.stats.rerouted.Load(), Resent: c.stats.resent.Load(),
		OneWayDropped: c.stats.oneWayDropped.Load(),
	}
}
