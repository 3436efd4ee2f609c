package router

import (
	"errors"

	"github.com/twohop/twohop/proto/wire"
)

// ErrGone is what Target.Send says when the target ends.
var ErrGone = errors.New("router: the target is gone")

// Target is a way to instances: a session, or a link to the node that has one. Its methods do not block and may be called
// concurrently.
type Target interface {
	// Send queues an attempt, whose call_id is an id of Slots or 0 for a one-way call, and copies it. An error means
	// that it was not queued; then nothing else will be said of it. It is ErrGone, or says that there is no room.
	Send(b *Batch, f *wire.Frame, runLate bool) error
	// Cancel ends an attempt early. A request that had not left is taken back: it was not sent.
	Cancel(b *Batch, id uint64, why wire.Code) (takenBack bool)
	// Slots is the table of the attempts that went this way.
	Slots() *Slots
	// Replace tells a session that another one has its instance's name. It may be called twice.
	Replace()
}
