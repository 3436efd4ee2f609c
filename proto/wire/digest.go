package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxDigestBytes bounds nonce and mac of a digest.
const MaxDigestBytes = 64

// Digest is a call's proof that its caller knows the method's password. It mirrors pb.Digest.
type Digest struct {
	KeyID       uint32
	Nonce       []byte
	TimestampMS uint64 // Unix time at the caller
	MAC         []byte // HMAC-SHA-256 of AppendDigestInput with the secret of KeyID
}

// Walk reads an encoded digest (Request.Digest) into d, whose earlier content is lost. The slices alias h. The error
// is nil or an *Error.
func (d *Digest) Walk(h []byte) error {
	*d = Digest{}
	var once seen
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
		if err != nil {
			return err
		}
		h = rest
		if int(f.num) >= len(digestTypes) {
			continue
		}
		if f.typ != digestTypes[f.num] {
			return badRequest("header: digest field %d has wire type %d, must be %d", f.num, f.typ, digestTypes[f.num])
		}
		if !once.add(f.num) {
			return badRequest("header: digest field %d stands twice", f.num)
		}
		switch f.num {
		case fieldKeyID:
			if f.n > 1<<32-1 {
				return badRequest("header: digest key_id is %d, must fit 32 bits", f.n)
			}
			d.KeyID = uint32(f.n)
		case fieldNonce:
			d.Nonce = f.bytes
			err = checkSize("digest nonce", f.bytes, MaxDigestBytes)
		case fieldTimestampMS:
			d.TimestampMS = f.n
		case fieldMAC:
			d.MAC = f.bytes
			err = checkSize("digest mac", f.bytes, MaxDigestBytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Field numbers of pb.Digest.
const (
	fieldKeyID       = 1
	fieldNonce       = 2
	fieldTimestampMS = 3
	fieldMAC         = 4
)

// digestTypes are the wire types of pb.Digest's fields.
var digestTypes = [...]protowire.Type{
	fieldKeyID:       protowire.VarintType,
	fieldNonce:       protowire.BytesType,
	fieldTimestampMS: protowire.VarintType,
	fieldMAC:         protowire.BytesType,
}

// DigestLabel begins what a digest's MAC is computed over.
const DigestLabel = "2HOP-digest-1"

// AppendDigestInput appends what a digest's MAC is computed over. invoker is the caller's module as it logs in, which
// the receiver reads from the stamp. Each field stands behind its length, so that no two calls have the same input.
func AppendDigestInput(dst []byte, invoker, module, method, messageID, nonce []byte, timestampMS uint64, body []byte) []byte {
	sum := sha256.Sum256(body)
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], timestampMS)
	for _, field := range [...][]byte{[]byte(DigestLabel), invoker, module, method, messageID, nonce, stamp[:], sum[:]} {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
		dst = append(dst, field...)
	}
	return dst
}

// NonceSize is how many random bytes a caller's nonce has.
const NonceSize = 16

// mac returns the MAC that the digest of a call must have. messageID is empty but for reachable calls.
func (d *Digest) mac(secret, invoker, module, method, messageID, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(AppendDigestInput(nil, invoker, module, method, messageID, d.Nonce, d.TimestampMS, body))
	return h.Sum(nil)
}

// Sign sets the MAC for a call, with the secret of KeyID. Nonce and TimestampMS are set already.
func (d *Digest) Sign(secret, invoker, module, method, messageID, body []byte) {
	d.MAC = d.mac(secret, invoker, module, method, messageID, body)
}

// Verify reports whether the MAC is that of the call, in a time that does not depend on where they differ. It looks neither
// at the clock nor at nonces that came before.
func (d *Digest) Verify(secret, invoker, module, method, messageID, body []byte) bool {
	return hmac.Equal(d.MAC, d.mac(secret, invoker, module, method, messageID, body))
}

// Append appends the digest as a field of a request's header.
func (d *Digest) Append(dst []byte) []byte {
	var room [160]byte // of nonce and mac with 64 bytes
	inside := appendUint(room[:0], fieldKeyID, d.KeyID)
	inside = appendBytes(inside, fieldNonce, d.Nonce)
	if d.TimestampMS != 0 {
		inside = appendVarint(inside, fieldTimestampMS, d.TimestampMS)
	}
	return appendBytes(dst, fieldDigest, appendBytes(inside, fieldMAC, d.MAC))
}
