package rpcclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/twohop/twohop/internal/caller"
)

// Client calls methods of other modules. Use Dial. All methods may be called concurrently.
type Client struct{ caller *caller.Client }

// Dial returns a client of the mesh that the nodes at the addresses belong to: host:port or unix:/path, several separated
// by commas. It does not wait for a connection; see Client.State and Options.OnConnect. The error lists what is wrong
// with the addresses and the options.
func Dial(addresses string, opts Options) (*Client, error) {
	c, err := caller.New(opts.translate(addresses))
	if err != nil {
		return nil, fmt.Errorf("rpcclient: %w", err)
	}
	c.Start()
	return &Client{caller: c}, nil
}

// Call calls a method by its full name, module.Method, and waits for the end.
//
// in is the argument: a protobuf message, a []byte (sent as it is), nil, or anything that encoding/json encodes. out takes
// the answer: a protobuf message, a *[]byte, a pointer to what JSON can fill, or nil. A *[]byte is overwritten, in place
// if it has room. Neither may be touched before Call returns.
//
// The error is nil or an *Error. When ctx is cancelled the call is taken back if it has not left, else cancelled on its way;
// Call returns what is known about it, within 200 ms.
func (c *Client) Call(ctx context.Context, method string, in, out any, opts ...CallOption) error {
	return c.caller.Call(ctx, method, in, out, opts...)
}

// CallRaw calls a method with bytes and returns the bytes of its answer.
func (c *Client) CallRaw(ctx context.Context, method string, body []byte, opts ...CallOption) ([]byte, error) {
	return c.caller.CallRaw(ctx, method, body, opts...)
}

// OneWay sends a call that nobody answers: it is delivered at most once, and what becomes of it is not told. It fails
// only for what is known here: a name or an option that is wrong, a queue that is full, a client that is closed.
func (c *Client) OneWay(ctx context.Context, method string, in any, opts ...CallOption) error {
	return c.caller.OneWay(ctx, method, in, opts...)
}

// Go starts a call and returns without waiting for its end. in and out are as for Call, and may not be touched before the
// end. Calls that one goroutine starts leave in this order.
func (c *Client) Go(ctx context.Context, method string, in, out any, opts ...CallOption) *Pending {
	return c.caller.Go(ctx, method, in, out, opts...)
}

// State says where the client stands with its session.
func (c *Client) State() State { return c.caller.States()[0] }

// Stats returns the client's counters.
func (c *Client) Stats() Stats { return c.caller.Stats() }

// Close ends the calls that are open (CANCELLED, or CANCELLED_RUNNING if they were sent), lets go what is queued, closes
// the session and waits for it, some two seconds at most. It may be called twice. It returns nil.
func (c *Client) Close() error {
	c.caller.Close()
	return nil
}

// String names the client for logs.
func (c *Client) String() string {
	instance, _ := c.caller.Instance()
	return "rpcclient(" + instance + ")"
}

// Caller is what Call needs: a *Client.
type Caller interface {
	Call(ctx context.Context, method string, in, out any, opts ...CallOption) error
}

// Call calls a method and returns its answer as a new Resp: a protobuf message, or a type that JSON can fill.
func Call[Resp any](ctx context.Context, c Caller, method string, in any, opts ...CallOption) (*Resp, error) {
	out := new(Resp)
	if err := c.Call(ctx, method, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}

// AsError returns the *Error in err's chain, or nil.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}
