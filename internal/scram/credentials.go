package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Credentials are what a server keeps of one secret: enough to check a proof and to give one, not to log in.
type Credentials struct {
	StoredKey  [sha256.Size]byte
	ServerKey  [sha256.Size]byte
	Salt       []byte // 16 to 64 bytes
	Iterations int    // MinIterations to MaxIterations
}

// Derive makes the credentials of a secret, with a salt of its own. The secret is any bytes, but not
// empty. Iterations of 0 are MinIterations; all credentials of a Directory should have the same.
func Derive(secret string, iterations int) (Credentials, error) {
	if iterations == 0 {
		iterations = MinIterations
	}
	c := Credentials{Salt: make([]byte, minSalt), Iterations: iterations}
	rand.Read(c.Salt) // never fails
	if err := c.check(); err != nil {
		return Credentials{}, err
	}
	clientKey, serverKey, err := keys(secret, c.Salt, iterations)
	if err != nil {
		return Credentials{}, err
	}
	c.StoredKey, c.ServerKey = sha256.Sum256(clientKey), [sha256.Size]byte(serverKey)
	return c, nil
}

// credentialsPrefix begins the text form, which is that of PostgreSQL: SCRAM-SHA-256$<iterations>:<salt>$<stored>:<server>.
const credentialsPrefix = "SCRAM-SHA-256$" //nolint:gosec // the name of a form

// Encode returns the text form of c, for a file that only the server reads.
func (c Credentials) Encode() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%d:%s$%s:%s", credentialsPrefix, c.Iterations, b64(c.Salt), b64(c.StoredKey[:]), b64(c.ServerKey[:]))
}

// ParseCredentials reads what Encode returns. Its errors do not quote the text.
func ParseCredentials(text string) (Credentials, error) {
	bad := errors.New("scram: credentials are not SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>")
	rest, ok := strings.CutPrefix(text, credentialsPrefix)
	how, derived, ok2 := strings.Cut(rest, "$")
	count, salt, ok3 := strings.Cut(how, ":")
	stored, server, ok4 := strings.Cut(derived, ":")
	if !ok || !ok2 || !ok3 || !ok4 || !printable(text) {
		return Credentials{}, bad
	}
	iterations, err1 := iterationsOf(count)
	saltBytes, err2 := decode(salt, minSalt, maxSalt)
	storedKey, err3 := decode(stored, sha256.Size, sha256.Size)
	serverKey, err4 := decode(server, sha256.Size, sha256.Size)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return Credentials{}, bad
	}
	return Credentials{
		StoredKey:  [sha256.Size]byte(storedKey),
		ServerKey:  [sha256.Size]byte(serverKey),
		Salt:       saltBytes,
		Iterations: iterations,
	}, nil
}

// String hides c: it is asked for by accident only.
func (c Credentials) String() string { return "***" }

// GoString hides c too.
func (c Credentials) GoString() string { return "scram.Credentials{***}" }

// check reports what would make every login with c fail.
func (c Credentials) check() error {
	if c.Iterations < MinIterations || c.Iterations > MaxIterations {
		return fmt.Errorf("scram: credentials with %d iterations, want %d to %d", c.Iterations, MinIterations, MaxIterations)
	}
	if len(c.Salt) < minSalt || len(c.Salt) > maxSalt {
		return fmt.Errorf("scram: credentials with a salt of %d bytes, want %d to %d", len(c.Salt), minSalt, maxSalt)
	}
	return nil
}

// keys derives the keys of both sides: ClientKey and ServerKey of RFC 5802, section 3.
func keys(secret string, salt []byte, iterations int) (client, server []byte, err error) {
	if secret == "" {
		return nil, nil, errNoSecret
	}
	salted, err := pbkdf2.Key(sha256.New, secret, salt, iterations, sha256.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("scram: deriving keys: %w", err)
	}
	return sign(salted, "Client Key"), sign(salted, "Server Key"), nil
}

// sign returns HMAC-SHA-256 of text.
func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// xor returns a with the bits of b turned over; both are of one length.
func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for n := range a {
		out[n] = a[n] ^ b[n]
	}
	return out
}
