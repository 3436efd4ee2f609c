package rpcserver

import (
	"context"
	"errors"
)

// Client calls methods of other modules over the server's own sessions, under its own name. It is a part of a Server and
// ends with it. All methods may be called concurrently. See package rpcclient for what each does.
type Client struct{ server *Server }

// Client returns the server's client. Calls that are made with a handler's context inherit what is left of its time;
// those made before Run wait for it, inside their budgets.
func (s *Server) Client() *Client { return &Client{server: s} }

// Call calls a method by its full name, module.Method, and waits for the end. in is a protobuf message, a []byte, nil, or
// what JSON encodes; out a protobuf message, a *[]byte, nil, or what JSON fills. The error is nil or an *Error.
func (c *Client) Call(ctx context.Context, method string, in, out any, opts ...CallOption) error {
	if c.server.client == nil {
		return c.server.broken
	}
	return c.server.client.Call(ctx, method, in, out, opts...)
}

// CallRaw calls a method with bytes and returns the bytes of its answer.
func (c *Client) CallRaw(ctx context.Context, method string, body []byte, opts ...CallOption) ([]byte, error) {
	if c.server.client == nil {
		return nil, c.server.broken
	}
	return c.server.client.CallRaw(ctx, method, body, opts...)
}

// OneWay sends a call that nobody answers. It fails only for what is known here.
func (c *Client) OneWay(ctx context.Context, method string, in any, opts ...CallOption) error {
	if c.server.client == nil {
		return c.server.broken
	}
	return c.server.client.OneWay(ctx, method, in, opts...)
}

// Go starts a call and returns without waiting for its end. in and out may not be touched before it.
func (c *Client) Go(ctx context.Context, method string, in, out any, opts ...CallOption) (*Pending, error) {
	if c.server.client == nil {
		return nil, c.server.broken
	}
	return c.server.client.Go(ctx, method, in, out, opts...), nil
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
