package rpcserver

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/wire"
)

// Request is one request as interceptors and raw handlers see it.
type Request struct {
	// Method is its name, without the module.
	Method string
	// ContentType is that of Body; empty for raw bytes.
	ContentType string
	// Body is valid until the handler returns.
	Body []byte

	header     []byte // its own copy
	rpcID      uint64
	attempt    uint8
	flags      wire.Flags
	deadline   time.Time // zero: none
	answerType string
	scratch    []byte // what encoded answers are appended to
	started    bool   // the handler was
}

// SetContentType sets the content type of the answer, where it is not that of the request.
func (r *Request) SetContentType(name string) { r.answerType = name }

// encode encodes what a typed handler returned, in the request's form where it has one.
func (r *Request) encode(out any) (body []byte, err error) {
	if m, ok := out.(proto.Message); ok {
		if caller.IsJSON(r.ContentType) {
			body, err = protojson.MarshalOptions{}.MarshalAppend(r.scratch[:0], m)
		} else {
			r.answerType = caller.TypeProtobuf
			body, err = proto.MarshalOptions{}.MarshalAppend(r.scratch[:0], m)
		}
	} else {
		if !caller.IsJSON(r.ContentType) {
			r.answerType = caller.TypeJSON
		}
		body, err = json.Marshal(out)
	}
	if err == nil && r.scratch != nil {
		r.scratch = body // it may have grown
	}
	if err != nil {
		return nil, &verdict{wire.AnswerLost, "the answer cannot be encoded", err}
	}
	return body, nil
}

// CallInfo is what is known about a request besides its body. Invoker and Ingress are vouched for by the mesh.
type CallInfo struct {
	// RPCID is the call's id in traces.
	RPCID uint64
	// Module, Method, Group and Instance are the address that the caller gave.
	Module, Method, Group, Instance string
	// Invoker is who calls, and the call's name: (Session, Call).
	Invoker Invoker
	// Ingress is the node where the call entered the mesh, at ReceivedAt by its clock: for audit, not for decisions.
	Ingress    string
	ReceivedAt time.Time
	// Attempt is 0, and one more for each retry.
	Attempt int
	// Deadline is when the caller stops waiting; zero: not known.
	Deadline time.Time
	// Idempotent says that the caller may have the call run twice.
	Idempotent bool
	// OneWay says that nobody waits for an answer.
	OneWay      bool
	HashKey     string
	UserData    []byte
	ContentType string
	// Metadata is in the caller's order.
	Metadata []Metadatum
	// Message is set where a reachable call is delivered.
	Message *Message
}

// Invoker is who makes a call.
type Invoker struct {
	Module, Instance string
	IP               string // text form, or "unix"
	Session, Call    uint64
}

// Metadatum is one entry of metadata.
type Metadatum struct{ Key, Value string }

// Get returns the first value of a metadata key, or "".
func (i *CallInfo) Get(key string) string {
	for _, m := range i.Metadata {
		if m.Key == key {
			return m.Value
		}
	}
	return ""
}

// Message says which delivery of a reachable call a request is.
type Message struct {
	ID          string // chosen by the caller
	Attempt     int    // starts so far, with this one
	Fence       uint64 // rises with each delivery: an effect with a lower one is to be refused
	Redelivered bool   // an earlier start is on record
	Lease       time.Duration
}

// Info returns what is known about the request that a handler's context belongs to; for other contexts it is empty.
func Info(ctx context.Context) CallInfo {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return CallInfo{}
	}
	return r.Info()
}

// Info returns what is known about the request. It makes a copy each time.
func (r *Request) Info() CallInfo {
	var h wire.Request
	if err := h.Walk(r.header, wire.ByNode); err != nil {
		return CallInfo{} // it has been walked before
	}
	info := CallInfo{
		RPCID: r.rpcID, Attempt: int(r.attempt), Deadline: r.deadline, OneWay: r.flags&wire.FlagOneWay != 0,
		Module: string(h.Module), Method: string(h.Method), Group: string(h.Group), Instance: string(h.Instance),
		Invoker: Invoker{
			Module: string(h.Stamp.InvokerModule), Instance: string(h.Stamp.InvokerInstance), IP: string(h.Stamp.InvokerIP),
			Session: h.Stamp.InvokerSession, Call: h.Stamp.InvokerCall,
		},
		Ingress: string(h.Stamp.IngressNode), ReceivedAt: time.UnixMicro(int64(h.Stamp.ReceivedAt)),
		Idempotent: h.Options&wire.Idempotent != 0,
		HashKey:    string(h.HashKey), UserData: append([]byte(nil), h.UserData...), ContentType: r.ContentType,
	}
	if h.Metadata > 0 {
		wire.EachMetadata(r.header, func(key, value []byte) {
			info.Metadata = append(info.Metadata, Metadatum{string(key), string(value)})
		})
	}
	if r.flags&wire.FlagDelivery != 0 {
		info.Message = &Message{
			ID: string(h.MessageID), Attempt: int(h.Stamp.MessageAttempt), Fence: h.Stamp.Fence,
			Redelivered: h.Stamp.Redelivered, Lease: time.Duration(h.Stamp.LeaseMS) * time.Millisecond,
		}
	}
	return info
}
