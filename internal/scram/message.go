package scram

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxMessage is the most bytes that a message may have; what is longer is refused before it is looked at.
const MaxMessage = 1024

// Bounds of what a message carries.
const (
	minNonce = 20  // characters from either side; ours are 26 of base32, 130 bit
	maxNonce = 128 // characters from either side
	minSalt  = 16
	maxSalt  = 64

	// MinIterations is also the default: secrets are generated, so that guessing them is hopeless without a slow hash.
	// More than MaxIterations would let a false server keep its clients busy.
	MinIterations = 4096
	MaxIterations = 100_000
)

// The errors of a login.
var (
	ErrMalformed   = errors.New("scram: malformed message")
	ErrCredentials = errors.New("scram: wrong user, key id or secret")
	ErrServer      = errors.New("scram: the server has not proved that it knows the secret")
	ErrBinding     = errors.New("scram: channel binding does not match")
	ErrOrder       = errors.New("scram: step out of order")
)

var errNoSecret = errors.New("scram: the secret is empty")

// Headers of a client's first message (gs2-header): without and with channel binding.
const (
	unboundFlag = "n"
	boundFlag   = "p=tls-exporter"
)

// fields cuts a message at its commas into exactly one value per prefix, in that order.
func fields(message []byte, prefixes ...string) ([]string, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(message))
	}
	if !printable(string(message)) {
		return nil, fmt.Errorf("%w: not printable ASCII", ErrMalformed)
	}
	values := strings.SplitN(string(message), ",", len(prefixes)+1)
	if len(values) != len(prefixes) {
		return nil, fmt.Errorf("%w: not %d fields", ErrMalformed, len(prefixes))
	}
	for n, prefix := range prefixes {
		value, ok := strings.CutPrefix(values[n], prefix)
		if !ok {
			return nil, fmt.Errorf("%w: no %q where expected", ErrMalformed, prefix)
		}
		values[n] = value
	}
	return values, nil
}

// printable reports whether s is ASCII without control characters.
func printable(s string) bool {
	for n := range len(s) {
		if s[n] < 0x20 || s[n] > 0x7e {
			return false
		}
	}
	return true
}

// wellNonced reports whether s will do as one side's nonce: printable, no space, no comma.
func wellNonced(s string) bool {
	return len(s) >= minNonce && len(s) <= maxNonce && printable(s) && !strings.ContainsAny(s, " ,")
}

// boundTo returns what the client's last message repeats of the channel (c=).
func boundTo(flag string, binding []byte) string {
	header := []byte(flag + ",,")
	if flag == boundFlag {
		header = append(header, binding...)
	}
	return base64.StdEncoding.EncodeToString(header)
}

// decode reads base64 with padding, and nothing else.
func decode(s string, least, most int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < least || len(b) > most {
		return nil, fmt.Errorf("%w: not base64 of %d to %d bytes", ErrMalformed, least, most)
	}
	return b, nil
}

// iterationsOf reads a number without sign, leading zero or space, within the bounds.
func iterationsOf(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < MinIterations || n > MaxIterations {
		return 0, fmt.Errorf("%w: iterations not between %d and %d", ErrMalformed, MinIterations, MaxIterations)
	}
	return n, nil
}

var escapes = strings.NewReplacer("=", "=3D", ",", "=2C")

// unescape takes back what escapes did to a name; any other "=" is malformed.
func unescape(name string) (string, error) {
	plain := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name)
	if plain == "" || escapes.Replace(plain) != name {
		return "", fmt.Errorf("%w: user name", ErrMalformed)
	}
	return plain, nil
}
