package session

import (
	"fmt"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// errNodeDraining is what a GOAWAY tells a module while the node stops.
var errNodeDraining = &wire.Error{Code: wire.Draining, Reason: "the node is draining"}

// errNodeRemoved is what it tells when the node is not a member of the mesh any more.
var errNodeRemoved = &wire.Error{Code: wire.Draining, Reason: "the node has been removed from the mesh"}

// goawayFrame is what a GOAWAY says.
func (c *session) goawayFrame(why *wire.Error) wire.Frame {
	return controlFrame(wire.KindGoaway, &pb.Goaway{Code: uint32(why.Code), Message: why.Reason, Try: c.room.others()})
}

// leave sends a GOAWAY: new requests of the module are answered DRAINING, what is in flight goes on, and the module closes. A
// server is called over this session only where there is no other way, until it says GOAWAY in turn: by then it has another
// one. leave reports whether it was the first to. From any goroutine.
func (c *session) leave(why *wire.Error) bool {
	if !c.state.CompareAndSwap(uint32(stateOpen), uint32(stateLeaving)) {
		return false
	}
	f := c.goawayFrame(why)
	if wake, err := c.conn.Send(frameconn.Control, &f, false); err == nil && wake {
		go c.conn.Flush() // whoever replaces a session may hold locks
	}
	c.room.opts.Router.Drain(c.number)
	return true
}

// Replace implements router.Target: another session has the name. The module finishes what it has and closes; one that
// does not is closed.
func (c *session) Replace() {
	reason := fmt.Sprintf("another session has logged in as %s/%s", c.login.GetModule(), c.login.GetInstance())
	if !c.leave(&wire.Error{Code: wire.Replaced, Reason: reason}) {
		return
	}
	c.room.opts.Router.Unregister(c.number)
	c.room.log("session replaced", nil, "session", c.String())
	c.expire(errReplaced)
}

// expire closes a session that was told to leave and stays.
func (c *session) expire(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.patience = time.AfterFunc(c.room.opts.ReplacedTimeout, func() { c.conn.Close(cause) })
	}
}

// takeGoaway ends the requests to a module that stops. Its own go on: what it still runs may have to call others.
func (c *session) takeGoaway(f *wire.Frame) error {
	if err := readControl(f, &pb.Goaway{}); err != nil {
		return err
	}
	c.instance.stopping = true
	if c.isServer() {
		c.room.opts.Router.Unregister(c.number)
	}
	return nil
}
