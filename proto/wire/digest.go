package wire

import "google.golang.org/protobuf/encoding/protowire"

// digestTypes are the wire types of pb.Digest's fields 1–4.
var digestTypes = [...]protowire.Type{1: protowire.VarintType, 2: protowire.BytesType, 3: protowire.VarintType, 4: protowire.BytesType}

func walkDigest(h []byte) error {
	var once seen
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return err
		}
		h = rest
		if int(f.num) >= len(digestTypes) {
			continue
		}
		if f.typ != digestTypes[f.num] || !once.add(f.num) {
			return badRequest("header: digest with field %d twice or of wire type %d", f.num, f.typ)
		}
		if f.num == 1 && f.n > 1<<32-1 {
			return badRequest("header: digest key_id is %d, must fit 32 bits", f.n)
		}
	}
	return nil
}
