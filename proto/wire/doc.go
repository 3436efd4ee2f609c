// Package wire is the frame codec of protocol version 1: bytes in, bytes out.
//
// A frame is a fixed 32-byte prefix, a protobuf header and an opaque body (PROTOCOL.md is normative). Decode cuts one
// frame off the front of a buffer without copying; Frame.Append writes one. Request and CheckResponse walk a header
// to its exact end without reflection and without allocating, because a node appends its own fields to the bytes it
// got: a header that does not end where it says would swallow what is appended.
//
// What a node asks of a frame from a module, in this order: Decode (the frame), CheckPrefix (the kind), Request.Walk or
// CheckResponse (the header), Request.Check (whether the options go together). Then it appends AppendInvoker and
// AppendCallStamp to a request, or AppendReceiver and its neighbours to a response. CheckLogin does the same for who logs
// in.
//
// Nothing here has state, starts a goroutine, touches a network or logs. All functions may be called concurrently;
// what they return aliases what they were given.
//
// Failure: every refusal is an *Error with the status code that belongs to it and a reason that says what was wrong
// and what would be right. Input that is merely incomplete is ErrShort, and only that.
package wire
