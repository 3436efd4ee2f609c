package router

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Flusher is something that was given bytes to write and wants to be told when the batch is complete.
type Flusher interface{ Flush() }

// Batch is what one reader does between two waits for input: it collects the connections to wake at its end, and lends
// scratch space for headers. It belongs to one goroutine.
type Batch struct {
	// Now is the time of the batch on the node's clock.
	Now time.Duration

	wake []Flusher

	// Lent to one call at a time: what is handed to another room by its address would be allocated otherwise.
	scratch []byte
	frame   wire.Frame
	answer  Answer
}

// Wake notes that f wants Flush. A second Flush does nothing, so it does no harm that an entry may stand twice: a connection's own
// reader may have flushed it meanwhile.
func (b *Batch) Wake(f Flusher) { b.wake = append(b.wake, f) }

// Flush wakes all that asked.
func (b *Batch) Flush() {
	for i, f := range b.wake {
		f.Flush()
		b.wake[i] = nil
	}
	b.wake = b.wake[:0]
}
