package caller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A path looks for a node in rounds: it tries the known addresses one after the other, each once, with a short random pause
// between two; then it backs off, and begins again. An address that becomes known meanwhile is tried at once. Addresses of
// nodes that another path of the client is at, or on its way to, are not among them: when there are no others, the path waits
// without dialing until that changes.

// choice says why there is no address to dial now.
type choice uint8

const (
	choiceFound choice = iota
	choiceOver         // all have been tried, or rest: back off
	choiceTaken        // other paths have all there are
	choiceEarly        // the first path has no session yet
	choiceNone         // nothing is to be dialed any more
)

// next returns the address to dial, and whether others are left for this round. It waits while there is none, and returns
// "" when there will be none.
func (p *path) next(ctx context.Context) (address string, more bool) {
	c := p.client
	backoff := time.NewTimer(time.Hour)
	backoff.Stop()
	defer backoff.Stop()
	backingOff := false
	for ctx.Err() == nil {
		c.mu.Lock()
		address, more, why := c.chooseLocked(p)
		if why == choiceFound && p.spread == 0 {
			c.aimLocked(p, address)
			c.mu.Unlock()
			return address, more
		}
		changed := c.changed
		c.mu.Unlock()
		switch why {
		case choiceNone:
			p.over()
			return "", false
		case choiceFound:
			p.pause(ctx, rand.N(p.spread)) //nolint:gosec // jitter
			p.spread = 0
			continue
		case choiceOver:
			if !backingOff {
				p.roundOver()
				backoff.Reset(p.backoff())
				backingOff = true
			}
			p.spread = spreadNews
		case choiceTaken:
			p.spread = spreadNews
			p.rest(why)
		case choiceEarly:
			p.rest(why)
		}
		select {
		case <-backoff.C:
			backingOff = false
			p.newRound()
		case <-changed:
		case <-ctx.Done():
		}
	}
	p.over()
	return "", false
}

// aimLocked notes where a path goes.
func (c *Client) aimLocked(p *path, address string) {
	p.aim, p.last = address, address
	p.hints = slices.DeleteFunc(p.hints, func(hint string) bool { return hint == address })
	c.changedLocked()
}

// chooseLocked returns an address that p may dial now, and whether there are more, or why there is none.
func (c *Client) chooseLocked(p *path) (address string, more bool, why choice) {
	if c.stopping || c.closed {
		return "", false, choiceNone
	}
	c.begun = c.begun || c.governed && len(c.usable) > 0
	if !p.first && !c.begun {
		return "", false, choiceEarly
	}
	known, now := c.knownLocked(), c.clock.Now()
	usable := func(a string) bool { return !p.tried[a] && c.addresses.rests[a] <= now }
	for _, hint := range p.hints {
		if usable(hint) && !c.takenLocked(p, hint) {
			return hint, true, choiceFound
		}
	}
	start := slices.Index(known, p.last) + 1
	why = choiceTaken
	for i := range known {
		a := known[(start+i)%len(known)]
		switch {
		case c.takenLocked(p, a):
		case !usable(a):
			if why == choiceTaken {
				why = choiceOver
			}
		case why == choiceFound:
			return address, true, choiceFound
		default:
			address, why = a, choiceFound
		}
	}
	return address, false, why
}

// takenLocked reports whether an address is that of a node that another path is at or on its way to.
func (c *Client) takenLocked(p *path, address string) bool {
	node := c.nodeLocked(address)
	for _, other := range c.paths {
		if other == p || other.aim == "" {
			continue
		}
		if other.aim == address || node != "" && (node == other.node || other.node == "" && node == c.nodeLocked(other.aim)) {
			return true
		}
	}
	return false
}

// failedLocked notes addresses that just failed, for all paths that are looking for one: they need not find out again. nearby
// says that a machine answered, and no node listens there.
func (c *Client) failedLocked(addresses []string, nearby bool) {
	for _, p := range c.paths {
		if p.aim != "" {
			continue
		}
		p.nearby = p.nearby || nearby
		for _, a := range addresses {
			p.tried[a] = true
		}
	}
	c.changedLocked()
}

// changedLocked wakes the paths that wait for an address.
func (c *Client) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// roundOver gives up what depends on finding a node soon.
func (p *path) roundOver() {
	p.supersede() // there is no other node: what was left need not wait for one
	if p.refusal != nil {
		p.client.refuseAll(p.refusal)
		p.refusal = nil
	}
}

func (p *path) newRound() {
	p.spread = 0
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	clear(p.tried)
	p.nearby = false
}

// backoff returns how long to wait after a round: full jitter, and at least until a node may be asked again that wants to
// be left alone.
func (p *path) backoff() time.Duration {
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := backoffMax
	if p.nearby {
		limit = backoffNear
	}
	wait := rand.N(min(limit, c.opts.backoffStep<<min(p.failures, 10))) //nolint:gosec // jitter
	p.failures++
	now, rest := c.clock.Now(), time.Duration(-1)
	for _, a := range c.knownLocked() {
		if c.takenLocked(p, a) {
			continue
		}
		if left := c.addresses.rests[a] - now; rest < 0 || left < rest {
			rest = max(0, left)
		}
	}
	return max(wait, rest)
}

// rest notes why the path does not dial.
func (p *path) rest(why choice) {
	p.supersede() // there is no other node: what was left need not wait for one
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := "for the first connection"
	if why == choiceTaken {
		nodes := 0
		for _, other := range c.paths {
			if other.aim != "" {
				nodes++
			}
		}
		reason = "no other node is known"
		if nodes > 1 {
			reason = fmt.Sprintf("%d nodes are known, each has a connection", nodes)
		}
	}
	if p.state.Name != StateWaiting || p.state.Reason != reason {
		p.state = State{Name: StateWaiting, Since: time.Now(), Reason: reason, LastError: p.state.LastError}
	}
}

// over notes that the path dials no more. It returns false.
func (p *path) over() bool {
	c := p.client
	c.mu.Lock()
	replacement, address := c.replacement, p.state.Address
	c.mu.Unlock()
	if replacement != nil {
		p.set(StateReplaced, address, nil, replacement)
	} else {
		p.set(StateClosed, address, nil, nil)
	}
	return false
}

// pause waits, unless the client closes.
func (p *path) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
