package rpcserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// HandlerFunc handles one request as bytes.
type HandlerFunc func(ctx context.Context, r *Request) ([]byte, error)

// Interceptor is around handlers: it calls next, or does not. What it returns is the answer. An error is APP_ERROR also
// when next was not called: the interceptor is the application's.
type Interceptor func(ctx context.Context, r *Request, next HandlerFunc) ([]byte, error)

// MethodOption is a part of a method's contract.
type MethodOption interface{ applyToMethod(m *method) }

// Option is a MethodOption and a CallOption.
type Option interface {
	MethodOption
	CallOption
}

// method is one method with its contract. Static once registered.
type method struct {
	name     string
	handle   HandlerFunc
	contract *pb.Method
	serial   bool
	inline   bool
	counts   counts
}

type methodOption func(m *method)

func (o methodOption) applyToMethod(m *method) { o(m) }

type idempotent struct{ caller.Idempotent }

func (idempotent) applyToMethod(m *method) { m.contract.Idempotent = true }

// Idempotent promises, of a method, that running a call twice is running it once; of a call, that it may run twice.
// Calls are tried again after an unknown outcome only where both say so, and only while retries stay a tenth of the calls
// from one module to another (and 3).
func Idempotent() Option { return idempotent{} }

// ReachableAllowed lets the method be called reachable: stored first, run at least once.
func ReachableAllowed() MethodOption {
	return methodOption(func(m *method) { m.contract.Reachable = true })
}

// Audience says who may call a method, unless rules say something else.
type Audience uint8

// The audiences.
const (
	Internal Audience = iota // modules inside
	External                 // external sessions, too
	Admin                    // operators only
)

// Visibility says who may call the method. Default Internal.
func Visibility(a Audience) MethodOption {
	return methodOption(func(m *method) { m.contract.Visibility = pb.Visibility(a) })
}

// DefaultTimeout is the budget of calls that bring none. Default 10 s.
func DefaultTimeout(d time.Duration) MethodOption {
	return methodOption(func(m *method) { m.contract.DefaultTimeoutMs = uint32(min(max(0, d.Milliseconds()), 1<<32-1)) })
}

// AllowLate runs calls also when their time is up before the handler starts. Their context has ended then.
func AllowLate() MethodOption {
	return methodOption(func(m *method) { m.contract.RunLate = true })
}

// SerialByKey runs calls with the same hash key one after another, in the order in which they came; calls without a key and
// with others run beside them.
func SerialByKey() MethodOption { return methodOption(func(m *method) { m.serial = true }) }

// Inline runs the handler on the goroutine that reads the connection, past the queue: for handlers that take microseconds
// and never wait. While one runs, nothing else is read on the connection, and what others would send on it may wait. Its Body
// must not be kept, and its calls cannot be cancelled.
func Inline() MethodOption { return methodOption(func(m *method) { m.inline = true }) }

// Handle offers a method. Req and Resp are protobuf messages (by their pointer types) or what encoding/json takes; a
// protobuf body may also come as JSON, and is then answered so. A method that is offered after Run is reported to the mesh
// at once. A name that is invalid, reserved (_…) or taken panics.
func Handle[Req, Resp any](s *Server, name string, handle func(context.Context, *Req) (*Resp, error), opts ...MethodOption) {
	s.register(name, func(ctx context.Context, r *Request) ([]byte, error) {
		in := new(Req)
		if err := caller.Decode(r.ContentType, r.Body, in); err != nil {
			return nil, &verdict{wire.BadRequest, "the body cannot be decoded", err}
		}
		r.started = true
		out, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		return r.encode(out)
	}, opts)
}

// HandleRaw offers a method that takes and returns bytes. The answer has the request's content type, or
// Request.SetContentType. See Handle.
func HandleRaw(s *Server, name string, handle HandlerFunc, opts ...MethodOption) {
	s.register(name, func(ctx context.Context, r *Request) ([]byte, error) {
		r.started = true
		return handle(ctx, r)
	}, opts)
}

func (s *Server) register(name string, handle HandlerFunc, opts []MethodOption) {
	if err := wire.CheckMethod(name); err != nil {
		panic(fmt.Sprintf("rpcserver: %v", err))
	}
	if wire.Reserved(name) {
		panic(fmt.Sprintf("rpcserver: method is %q, names that begin with _ are reserved", name))
	}
	for _, interceptor := range slices.Backward(s.opts.Interceptors) {
		next := handle
		handle = func(ctx context.Context, r *Request) ([]byte, error) { return interceptor(ctx, r, next) }
	}
	m := &method{name: name, handle: handle, contract: &pb.Method{Name: name}}
	for _, o := range opts {
		o.applyToMethod(m)
	}
	s.mu.Lock()
	known := *s.methods.Load()
	taken := known[name] != nil
	grown := maps.Clone(known)
	if !taken {
		grown[name] = m
		s.methods.Store(&grown)
		s.version++
	}
	version := s.version
	s.mu.Unlock()
	if taken {
		panic(fmt.Sprintf("rpcserver: method %q is registered twice", name))
	}
	s.report(grown, version)
}

// report has the sessions told of the methods. Of several reports the one with the greatest version counts.
func (s *Server) report(known map[string]*method, version uint64) {
	if s.client == nil {
		return
	}
	list := make([]*pb.Method, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		list = append(list, known[name].contract)
	}
	if err := s.client.SetMethods(list, version); err != nil {
		panic(fmt.Sprintf("rpcserver: %v", err)) // more than 1,024 methods
	}
}
