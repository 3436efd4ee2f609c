package wire

// CheckPrefix reports what a module may not write into a frame of this kind, or nil: fields of the prefix that are the
// nodes', flags that the kind does not have, a header or a body where there is none. It looks at no header's inside:
// Request.Walk and CheckResponse do. A kind that modules do not send is refused, unless it is to be skipped. The error is
// nil or an *Error. For a REQUEST it is the answer; for any other kind it ends the connection.
func (f *Frame) CheckPrefix() error {
	if f.Kind >= KindSkippable {
		return nil
	}
	if !f.Kind.Goes(ModuleToNode) {
		return badRequest("a module sends no %s", f.Kind)
	}
	if len(f.Header) > MaxHeader && f.Kind != KindResponse { // an answer is replaced, see CheckAnswer
		return headerTooLarge(len(f.Header), MaxHeader)
	}
	switch f.Kind {
	case KindRequest:
		return f.checkOwned(requestFlags)
	case KindResponse:
		if f.Status > MaxCode {
			return badRequest("status is %d, must be 0 to %d", uint16(f.Status), uint16(MaxCode))
		}
		return f.checkOwned(FlagMore)
	case KindPart:
		if f.Status != Code(KindRequest) && f.Status != Code(KindResponse) {
			return badRequest("PART continues a message of kind %d, must be %d or %d", uint16(f.Status), KindRequest, KindResponse)
		}
		if len(f.Header) != 0 {
			return badRequest("PART has a header of %d bytes, only the first frame of a message has one", len(f.Header))
		}
		return f.checkOwned(FlagMore)
	case KindPing, KindPong:
		return f.checkOwned(0)
	case KindCancel:
		if f.Status != Expired && f.Status != Cancelled {
			return badRequest("CANCEL has status %d, must be %d or %d", uint16(f.Status), Expired, Cancelled)
		}
		if len(f.Header) != 0 {
			return badRequest("CANCEL has a header of %d bytes, must have none", len(f.Header))
		}
	}
	if len(f.Body) != 0 {
		return badRequest("%s has a body of %d bytes, must have none", f.Kind, len(f.Body))
	}
	return f.checkOwned(0)
}

// checkOwned refuses what only nodes set, and flags that are not allowed.
func (f *Frame) checkOwned(allowed Flags) error {
	if unknown := f.Flags &^ allowed; unknown != 0 {
		return badRequest("%s has flags %#x, a module may set %#x", f.Kind, uint8(unknown), uint8(allowed))
	}
	if f.Hops != 0 || f.RPCID != 0 {
		return badRequest("hops is %d and rpc_id is %d, both are set by nodes only", f.Hops, f.RPCID)
	}
	return nil
}
