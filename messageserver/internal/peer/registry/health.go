package registry

import (
	"math"
	"time"
)

// maxScore bounds how patient a node becomes.
const maxScore = 8

// Health says how late a node itself runs: who is late must not take others for dead. After Lifeguard's local health
// (Dadgar, Phillips, Currey: "Lifeguard: SWIM-ing with Situational Awareness", 2017).
type Health struct {
	heartbeat, interval time.Duration // static

	last   time.Duration // the last tick; 0 is none
	late   time.Duration // how late that was
	score  int
	healed time.Duration // when the score last changed
}

// NewHealth returns the health of a node that is asked to Tick every interval. A tick is late by more than half a heartbeat.
func NewHealth(heartbeat, interval time.Duration) *Health {
	return &Health{heartbeat: heartbeat, interval: interval}
}

// Tick notes that the node runs. A late tick raises the score by one, and by one more for each heartbeat that it missed; a
// heartbeat's time without one lowers it by one.
func (h *Health) Tick(now time.Duration) {
	if h.last != 0 {
		h.late = max(now-h.last-h.interval, 0)
	}
	h.last = now
	switch {
	case h.late > h.heartbeat/2:
		h.score = min(h.score+1+int(min(h.late/h.heartbeat, maxScore)), maxScore)
		h.healed = now
	case h.score > 0 && now-h.healed >= h.heartbeat:
		h.score--
		h.healed = now
	}
}

// Patience is by what the time of silence is multiplied after which another node is dead: 1 to 9.
func (h *Health) Patience() int { return 1 + h.score }

// LateMS returns how late the last tick was, in ms.
func (h *Health) LateMS() uint32 { return uint32(min(h.late.Milliseconds(), math.MaxUint32)) }
