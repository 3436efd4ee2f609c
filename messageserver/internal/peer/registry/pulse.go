package registry

import "time"

// pulseMemory is of how many of our last heartbeats the time is known: of more than a patient node waits for.
const pulseMemory = 64

// pulse is who heard whom, and when.
type pulse struct {
	sent   uint64 // sequence of our last heartbeat
	sentAt [pulseMemory]time.Duration

	heard      uint64        // sequence of their last heartbeat
	heardAt    time.Duration // when it came
	anythingAt time.Duration // when anything came

	confirmed   uint64        // the last of ours that they say they heard
	confirmedAt time.Duration // when they said so
	rtt         time.Duration // 0 is not known yet
}

// beat returns the sequence of a heartbeat of ours that leaves now.
func (p *pulse) beat(now time.Duration) uint64 {
	p.sent++
	p.sentAt[p.sent%pulseMemory] = now
	return p.sent
}

// hear takes a heartbeat of theirs. It is not new where a later one was heard.
func (p *pulse) hear(sequence, confirms uint64, ago, now time.Duration) (isNew bool) {
	if sequence <= p.heard {
		return false
	}
	p.heard, p.heardAt = sequence, now
	if confirms > p.confirmed {
		p.confirmed, p.confirmedAt = confirms, now
		if p.sent-confirms < pulseMemory {
			p.rtt = max(now-p.sentAt[confirms%pulseMemory]-ago, 0)
		}
	}
	return true
}

// oldestUnanswered returns for how long the oldest of our heartbeats that they have not confirmed is on its way.
func (p *pulse) oldestUnanswered(now time.Duration) time.Duration {
	if p.confirmed == p.sent {
		return 0
	}
	oldest := p.confirmed + 1
	if p.sent >= pulseMemory {
		oldest = max(oldest, p.sent-pulseMemory+1)
	}
	return now - p.sentAt[oldest%pulseMemory]
}

// unheard returns for how long they have confirmed nothing more although something of ours was on its way. Where a link is slow,
// heartbeats come late one after the other, and it is not dead.
func (p *pulse) unheard(now time.Duration) time.Duration {
	return min(p.oldestUnanswered(now), now-p.confirmedAt)
}
