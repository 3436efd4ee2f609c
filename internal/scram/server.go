package scram

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Directory is what a server checks logins against. It is not changed once in use; safe for concurrent use if Lookup is.
type Directory struct {
	// Lookup returns the credentials of a user's key. It is called for every login, known or not, and should take as long
	// for both: a map in memory does. The key id is "" where the client names none.
	Lookup func(user, keyID string) (Credentials, bool)

	// Secret, 32 bytes or more, makes the salts of users that are unknown. It stays the same over restarts and is the same on
	// all nodes: an unknown user's salt must not change where a known one's would not.
	Secret []byte

	// Iterations are those that unknown users are told, which should be those of the known ones. Default MinIterations.
	Iterations int

	// RequireBinding refuses clients that do not bind the login to the TLS connection.
	RequireBinding bool
}

// Validate lists everything that is wrong with d.
func (d *Directory) Validate() error {
	var errs []error
	if d.Lookup == nil {
		errs = append(errs, errors.New("scram: a directory needs Lookup"))
	}
	if len(d.Secret) < sha256.Size {
		errs = append(errs, fmt.Errorf("scram: a directory needs a Secret of %d bytes", sha256.Size))
	}
	if d.Iterations != 0 && (d.Iterations < MinIterations || d.Iterations > MaxIterations) {
		errs = append(errs, fmt.Errorf("scram: Iterations not between %d and %d", MinIterations, MaxIterations))
	}
	return errors.Join(errs...)
}

// unknown returns credentials for a user or key id that there is none of: always the same ones, and nobody has their secret.
func (d *Directory) unknown(user, keyID string) Credentials {
	iterations := d.Iterations
	if iterations == 0 {
		iterations = MinIterations
	}
	// The key id is part of it, because two keys of a known user have two salts.
	of := strconv.Itoa(len(user)) + ":" + user + keyID
	return Credentials{
		StoredKey:  [sha256.Size]byte(sign(d.Secret, "stored "+of)),
		ServerKey:  [sha256.Size]byte(sign(d.Secret, "server "+of)),
		Salt:       sign(d.Secret, "salt "+of)[:minSalt],
		Iterations: iterations,
	}
}

// Server is the side that is logged in to, for one login. Not safe for concurrent use.
type Server struct {
	// Static after construction.
	directory *Directory
	keyID     string
	binding   []byte
	nonce     string // this side's part

	// Moves on with each step.
	step        step
	user        string
	known       bool
	credentials Credentials
	flag        string
	bothNonces  string
	agreed      string // both first messages, as far as they are signed
}

// NewServer returns a server for one login with the key that the client names beside the messages. The binding is that of the
// TLS connection (see NewClient), or empty where there is none; a client that binds is then refused. The error is that of
// d.Validate.
func NewServer(d *Directory, keyID string, binding []byte) (*Server, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return &Server{directory: d, keyID: keyID, binding: binding, nonce: rand.Text()}, nil
}

// User returns the name that the client gave in its first message: claimed after First, proved once Final has no error.
// Whoever was told a name elsewhere compares it with this one.
func (s *Server) User() string { return s.user }

// First answers the client's first message. No error of it depends on whether the user is known, but for credentials of the
// Directory that cannot work.
func (s *Server) First(clientFirst []byte) ([]byte, error) {
	if s.step != first {
		return nil, ErrOrder
	}
	s.step = over
	values, err := fields(clientFirst, "", "", "n=", "r=")
	if err != nil {
		return nil, err
	}
	if err := s.bind(values[0]); err != nil {
		return nil, err
	}
	if values[1] != "" {
		return nil, fmt.Errorf("%w: authorization identity", ErrMalformed)
	}
	if s.user, err = unescape(values[2]); err != nil {
		return nil, err
	}
	if !wellNonced(values[3]) {
		return nil, fmt.Errorf("%w: nonce", ErrMalformed)
	}

	s.credentials = s.directory.unknown(s.user, s.keyID) // made for the known too: it takes time
	if c, ok := s.directory.Lookup(s.user, s.keyID); ok {
		if err := c.check(); err != nil {
			return nil, err
		}
		s.credentials, s.known = c, true
	}
	s.bothNonces = values[3] + s.nonce
	message := "r=" + s.bothNonces + ",s=" + base64.StdEncoding.EncodeToString(s.credentials.Salt) +
		",i=" + strconv.Itoa(s.credentials.Iterations)
	s.agreed = strings.TrimPrefix(string(clientFirst), s.flag+",,") + "," + message
	s.step = final
	return []byte(message), nil
}

// bind takes the client's word on channel binding. "y" (could, but thinks that the server cannot) is not taken: our servers
// can wherever there is a TLS connection, so that somebody in between has said so.
func (s *Server) bind(flag string) error {
	switch {
	case flag == boundFlag && len(s.binding) > 0:
	case flag == unboundFlag && !s.directory.RequireBinding:
	case flag == boundFlag, flag == unboundFlag, flag == "y", strings.HasPrefix(flag, "p="):
		return ErrBinding
	default:
		return fmt.Errorf("%w: header", ErrMalformed)
	}
	s.flag = flag
	return nil
}

// Final checks the client's proof and answers it with the server's own. Only without an error is the user logged in.
func (s *Server) Final(clientFinal []byte) ([]byte, error) {
	if s.step != final {
		return nil, ErrOrder
	}
	s.step = over
	values, err := fields(clientFinal, "c=", "r=", "p=")
	if err != nil {
		return nil, err
	}
	proof, err := decode(values[2], sha256.Size, sha256.Size)
	if err != nil {
		return nil, err
	}
	if values[0] != boundTo(s.flag, s.binding) {
		return nil, ErrBinding
	}
	if values[1] != s.bothNonces {
		return nil, ErrCredentials // a proof from another login
	}
	agreed := s.agreed + "," + strings.TrimSuffix(string(clientFinal), ",p="+values[2])
	stored := s.credentials.StoredKey
	clientKey := xor(proof, sign(stored[:], agreed))
	storedOfClient := sha256.Sum256(clientKey)
	if proved := hmac.Equal(storedOfClient[:], stored[:]); !proved || !s.known {
		return nil, ErrCredentials
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(sign(s.credentials.ServerKey[:], agreed))), nil
}
