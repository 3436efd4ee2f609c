package caller

import (
	"crypto/rand"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// password is what a call proves that it knows. It is never written anywhere, and nothing of it is in an error.
type password struct {
	set    bool
	keyID  uint32
	secret string
}

// Password proves to the method that the caller knows one of its passwords.
func Password(keyID uint32, secret string) CallOption {
	return header(func(s *Settings) { s.password = password{true, keyID, secret} })
}

// digestReserve is room for a digest in the header.
const digestReserve = 80

// check reports what is wrong with a password.
func (p *password) check() *Error {
	if n := len(p.secret); p.set && (n == 0 || n > wire.MaxSecret) {
		return fail(CodeBadOption, "the password has %d bytes, must have 1 to %d", n, wire.MaxSecret)
	}
	return nil
}

// appendDigest appends the digest of one attempt: each has a nonce of its own. Its time is the wall clock's, because another
// machine compares it.
func (cl *call) appendDigest(header []byte) []byte {
	p := &cl.settings.password
	module, method, err := wire.SplitMethod(cl.name)
	if err != nil {
		return header // encode has refused it
	}
	var nonce [wire.NonceSize]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	d := wire.Digest{KeyID: p.keyID, Nonce: nonce[:], TimestampMS: uint64(max(0, time.Now().UnixMilli()))}
	d.Sign([]byte(p.secret), []byte(cl.invoker), []byte(module), []byte(method), nil, cl.body)
	return d.Append(header)
}
