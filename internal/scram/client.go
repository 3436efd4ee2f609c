package scram

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Client is the side that logs in, for one login. Not safe for concurrent use.
type Client struct {
	// Static after construction.
	user    string
	flag    string
	binding []byte
	nonce   string

	// Moves on with each step.
	step      step
	secret    string // until Final
	serverKey []byte
	agreed    string // AuthMessage: what both sides sign
}

// step is the next one that is allowed.
type step uint8

const (
	first step = iota
	final
	verify
	over
)

// NewClient returns a client for a user, in printable ASCII, and its secret, any bytes; neither may be empty. A binding that is
// not empty binds the login to the TLS connection: ConnectionState.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32).
func NewClient(user, secret string, binding []byte) (*Client, error) {
	if user == "" || !printable(user) {
		return nil, errors.New("scram: a user name is printable ASCII and not empty")
	}
	if secret == "" {
		return nil, errNoSecret
	}
	flag := unboundFlag
	if len(binding) > 0 {
		flag = boundFlag
	}
	return &Client{user: user, flag: flag, binding: binding, nonce: rand.Text(), secret: secret}, nil
}

// String names the client for logs, without its secret.
func (c *Client) String() string { return "scram client of " + c.user }

// First returns the first message.
func (c *Client) First() ([]byte, error) {
	if c.step != first {
		return nil, ErrOrder
	}
	message := c.flag + ",," + c.bare()
	if len(message) > MaxMessage {
		c.step = over
		return nil, fmt.Errorf("%w: the user name is too long", ErrMalformed)
	}
	c.step = final
	return []byte(message), nil
}

// bare returns the first message without its header, as it is signed.
func (c *Client) bare() string { return "n=" + escapes.Replace(c.user) + ",r=" + c.nonce }

// Final checks the server's first message and answers it with the proof. It takes as long as the server's iterations, ≤ 100,000.
func (c *Client) Final(serverFirst []byte) ([]byte, error) {
	if c.step != final {
		return nil, ErrOrder
	}
	c.step = over
	values, err := fields(serverFirst, "r=", "s=", "i=")
	if err != nil {
		return nil, err
	}
	// The server's part of the nonce is what makes the proof good for this login only.
	added, ok := strings.CutPrefix(values[0], c.nonce)
	if !ok || !wellNonced(added) {
		return nil, fmt.Errorf("%w: nonce", ErrMalformed)
	}
	salt, err := decode(values[1], minSalt, maxSalt)
	if err != nil {
		return nil, err
	}
	iterations, err := iterationsOf(values[2])
	if err != nil {
		return nil, err
	}
	clientKey, serverKey, err := keys(c.secret, salt, iterations)
	if err != nil {
		return nil, err
	}
	unproved := "c=" + boundTo(c.flag, c.binding) + ",r=" + values[0]
	c.agreed = c.bare() + "," + string(serverFirst) + "," + unproved
	storedKey := sha256.Sum256(clientKey)
	proof := xor(clientKey, sign(storedKey[:], c.agreed))
	c.serverKey, c.secret, c.step = serverKey, "", verify
	return []byte(unproved + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// Verify checks the server's last message. On any error the client does not know whom it talks to and must close the
// connection: ErrServer where the signature is wrong, ErrCredentials where the server says that it refused the proof.
func (c *Client) Verify(serverFinal []byte) error {
	if c.step != verify {
		return ErrOrder
	}
	c.step = over
	if _, err := fields(serverFinal, "e="); err == nil {
		return ErrCredentials
	}
	values, err := fields(serverFinal, "v=")
	if err != nil {
		return err
	}
	signature, err := decode(values[0], sha256.Size, sha256.Size)
	if err != nil {
		return err
	}
	if !hmac.Equal(signature, sign(c.serverKey, c.agreed)) {
		return ErrServer
	}
	return nil
}
