package peer

import "slices"

// Unheard returns the members whose registry has not come in since this node started, by name: who is logged in there it cannot
// say.
func (p *Peers) Unheard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, m := range p.members {
		if !m.heard {
			all = append(all, m.name)
		}
	}
	slices.Sort(all)
	return all
}

// Settled reports whether the registry of every member is in that could be had at once: all but of those that were dialled in
// vain.
func (p *Peers) Settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		vain := m.state == StateWaiting && m.lastError != nil || m.state == StateRefused
		if !m.heard && !vain {
			return false
		}
	}
	return true
}
