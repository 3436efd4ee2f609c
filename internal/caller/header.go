package caller

import (
	"errors"
	"maps"
	"sync/atomic"

	"github.com/twohop/twohop/proto/wire"
)

// names caches the encoded module and method of the names that are called: most programs call few. It is an immutable map
// behind a pointer; whoever adds a name swaps in a copy.
type names struct {
	known atomic.Pointer[map[string][]byte]
}

const maxNames = 1024

// header returns the start of a request's header. The error is a *wire.Error.
func (n *names) header(full string) ([]byte, error) {
	known := n.known.Load()
	if known != nil {
		if h, ok := (*known)[full]; ok {
			return h, nil
		}
	}
	module, method, err := wire.SplitMethod(full)
	if err != nil {
		return nil, err
	}
	r := wire.Request{Module: []byte(module), Method: []byte(method)}
	h := r.Append(nil)
	for known == nil || len(*known) < maxNames {
		grown := map[string][]byte{full: h}
		if known != nil {
			maps.Copy(grown, *known)
		}
		if n.known.CompareAndSwap(known, &grown) {
			break
		}
		known = n.known.Load()
	}
	return h, nil
}

// encode fills in the call's header and flags, and checks what the options ask for as the node will.
func (cl *call) encode(n *names, contentType string) *Error {
	start, err := n.header(cl.name)
	if err != nil {
		return wireError(err)
	}
	s := &cl.settings
	cl.flags, cl.options = s.flags, s.options
	if cl.oneWay {
		cl.flags |= wire.FlagOneWay
	}
	if s.contentType != "" {
		contentType = s.contentType
	}
	cl.asked = contentType
	cl.head = append(cl.head[:0], start...)
	r := wire.Request{ContentType: []byte(contentType)}
	if s.set {
		r.Group, r.Instance = []byte(s.group), []byte(s.instance)
		r.Balance, r.HashKey = wire.Balance(s.balance), []byte(s.hashKey)
		if s.hashKey != "" && s.balance == 0 {
			r.Balance = wire.BalanceHash
		}
		r.Options, r.MaxAttempts = s.options, uint32(max(0, s.maxAttempts))
		r.UserData = s.userData
	}
	cl.head = r.Append(cl.head)
	for i := 0; i+1 < len(s.metadata); i += 2 {
		cl.head = wire.AppendMetadata(cl.head, s.metadata[i], s.metadata[i+1])
	}
	cl.headLen = len(cl.head)
	if s.set {
		return cl.check()
	}
	return nil
}

// check reads the header as the node will.
func (cl *call) check() *Error {
	var r wire.Request
	if err := r.Walk(cl.head, wire.ByModule); err != nil {
		return wireError(err)
	}
	f := wire.Frame{Kind: wire.KindRequest, Flags: cl.flags}
	if !cl.oneWay {
		f.CallID = 1
	}
	if err := r.Check(&f); err != nil {
		return wireError(err)
	}
	if limit := wire.MaxHeader - cl.reserve(); len(cl.head) > limit {
		return fail(CodeTooLarge, "the header has %d bytes, must have at most %d", len(cl.head), limit)
	}
	return cl.settings.password.check()
}

// headerReserve is room for what a resend adds.
const headerReserve = 16

// reserve is room in the header for what differs from attempt to attempt.
func (cl *call) reserve() int {
	if cl.settings.password.set {
		return headerReserve + digestReserve
	}
	return headerReserve
}

// wireError returns what the codec says about input as a call's error.
func wireError(err error) *Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return fail(Code(e.Code), "%s", e.Reason)
	}
	return fail(CodeBadRequest, "%s", err.Error())
}
