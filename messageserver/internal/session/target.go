package session

import (
	"errors"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// Send implements router.Target.
func (c *session) Send(b *router.Batch, f *wire.Frame, runLate bool) error {
	wake, err := c.conn.Send(frameconn.Requests, f, runLate)
	if wake {
		b.Wake(c.conn)
	}
	if err != nil && !errors.Is(err, frameconn.ErrFull) {
		return router.ErrGone
	}
	return err
}

// Cancel implements router.Target.
func (c *session) Cancel(b *router.Batch, id uint64, why wire.Code) (takenBack bool) {
	takenBack, wake := c.conn.Cancel(id, why)
	if wake {
		b.Wake(c.conn)
	}
	return takenBack
}

// Slots implements router.Target.
func (c *session) Slots() *router.Slots { return &c.slots }

// Spent implements frameconn.Handler: the writer took a request back.
func (c *session) Spent(id uint64) {
	t, ok := c.slots.Release(id)
	if !ok {
		return
	}
	b := router.Batch{Now: c.room.opts.Clock.Now()}
	c.room.opts.Router.End(&b, t, &router.End{Code: wire.Expired, Unsent: true})
	b.Flush()
}

// takeResponse ends an attempt that went to this module.
func (c *session) takeResponse(f *wire.Frame) error {
	t, ok := c.slots.Release(f.CallID)
	if !ok {
		c.room.counters.LateAnswers.Add(1)
		return nil
	}
	end := router.End{Hops: 1, Header: f.Header, Body: f.Body}
	var err error
	if end.Code, err = wire.CheckAnswer(f.Status, f.Header); err != nil {
		c.room.counters.BrokenAnswers.Add(1)
		end.Header, end.Body = nil, nil
	}
	c.room.opts.Router.End(&c.batch, t, &end)
	return nil
}
