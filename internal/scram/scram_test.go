package scram

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const secret = "q8fX2vbnZ0pTgY7w"

var binding = []byte("0123456789abcdef0123456789abcdef")

// derive is Derive for a secret that is known to be good.
func derive(t testing.TB, secret string) Credentials {
	t.Helper()
	c, err := Derive(secret, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// directory knows user "pay" with a secret under key id "k1".
func directory(t testing.TB) *Directory {
	known := derive(t, secret)
	return &Directory{
		Secret: bytes.Repeat([]byte("s"), 32),
		Lookup: func(user, keyID string) (Credentials, bool) { return known, user == "pay" && keyID == "k1" },
	}
}

func newClient(t testing.TB, user, secret string, binding []byte) *Client {
	t.Helper()
	c, err := NewClient(user, secret, binding)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newServer(t testing.TB, d *Directory, keyID string, binding []byte) *Server {
	t.Helper()
	s, err := NewServer(d, keyID, binding)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// login carries the messages of one login, each through tamper on its way (1 to 4), and returns what each side made of it.
func login(c *Client, s *Server, tamper func(n int, message []byte) []byte) (clientErr, serverErr error) {
	carry := func(n int, message []byte) []byte {
		if tamper == nil {
			return message
		}
		return tamper(n, message)
	}
	message, err := c.First()
	if err != nil {
		return err, nil
	}
	if message, err = s.First(carry(1, message)); err != nil {
		return nil, err
	}
	if message, err = c.Final(carry(2, message)); err != nil {
		return err, nil
	}
	if message, err = s.Final(carry(3, message)); err != nil {
		return nil, err
	}
	return c.Verify(carry(4, message)), nil
}

// want checks both sides' errors.
func want(t *testing.T, clientErr, wantClient, serverErr, wantServer error) {
	t.Helper()
	if !errors.Is(clientErr, wantClient) {
		t.Errorf("client: %v, want %v", clientErr, wantClient)
	}
	if !errors.Is(serverErr, wantServer) {
		t.Errorf("server: %v, want %v", serverErr, wantServer)
	}
}

// The exchange of RFC 7677, section 3.
func TestVectorOfRFC7677(t *testing.T) {
	const (
		clientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
		serverFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
		clientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
		serverFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	)
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	clientKey, serverKey, err := keys("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	stored := Credentials{Salt: salt, Iterations: 4096, StoredKey: sum(clientKey), ServerKey: [32]byte(serverKey)}
	c := newClient(t, "user", "pencil", nil)
	c.nonce = "rOprNGfwEbeRWgbNEkqO"
	d := directory(t)
	d.Lookup = func(string, string) (Credentials, bool) { return stored, true }
	s := newServer(t, d, "", nil)
	s.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	wantMessages := []string{clientFirst, serverFirst, clientFinal, serverFinal}
	clientErr, serverErr := login(c, s, func(n int, message []byte) []byte {
		if string(message) != wantMessages[n-1] {
			t.Errorf("message %d is\n%s, want\n%s", n, message, wantMessages[n-1])
		}
		return message
	})
	want(t, clientErr, nil, serverErr, nil)
}

func TestLogin(t *testing.T) {
	for _, binding := range [][]byte{nil, binding} {
		s := newServer(t, directory(t), "k1", binding)
		clientErr, serverErr := login(newClient(t, "pay", secret, binding), s, nil)
		want(t, clientErr, nil, serverErr, nil)
		if s.User() != "pay" {
			t.Errorf("logged in as %q", s.User())
		}
	}
}

func TestSecretIsUsedAsItsBytes(t *testing.T) {
	d := directory(t)
	known := derive(t, "\x00gehe\u0302im\xff")
	d.Lookup = func(string, string) (Credentials, bool) { return known, true }
	clientErr, serverErr := login(newClient(t, "pay", "\x00gehe\u0302im\xff", nil), newServer(t, d, "", nil), nil)
	want(t, clientErr, nil, serverErr, nil)
	clientErr, serverErr = login(newClient(t, "pay", "\x00geh\u00eaim\xff", nil), newServer(t, d, "", nil), nil)
	want(t, clientErr, nil, serverErr, ErrCredentials)
}

func TestNoncesAreNew(t *testing.T) {
	a, b := newClient(t, "pay", secret, nil), newClient(t, "pay", secret, nil)
	c, d := newServer(t, directory(t), "", nil), newServer(t, directory(t), "", nil)
	if a.nonce == b.nonce || c.nonce == d.nonce || len(a.nonce) < 26 || len(c.nonce) < 26 {
		t.Errorf("nonces %s %s %s %s: want new ones, of 26 characters of base32 (130 bit)", a.nonce, b.nonce, c.nonce, d.nonce)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	d, asked := directory(t), ""
	known := derive(t, secret)
	d.Lookup = func(user, _ string) (Credentials, bool) { asked = user; return known, true }
	clientErr, serverErr := login(newClient(t, "a=2C,b=", secret, nil), newServer(t, d, "", nil), nil)
	want(t, clientErr, nil, serverErr, nil)
	if asked != "a=2C,b=" {
		t.Errorf("the server was asked for %q", asked)
	}
}

func TestWrongSecretIsRefused(t *testing.T) {
	clientErr, serverErr := login(newClient(t, "pay", "another secret", nil), newServer(t, directory(t), "k1", nil), nil)
	want(t, clientErr, nil, serverErr, ErrCredentials)
}

// A server without the secret, as one that pretends to be ours.
func TestFalseServerIsNotTrusted(t *testing.T) {
	d := directory(t)
	false1 := derive(t, secret)
	false1.ServerKey[0] ^= 1
	d.Lookup = func(string, string) (Credentials, bool) { return false1, true }
	clientErr, serverErr := login(newClient(t, "pay", secret, nil), newServer(t, d, "k1", nil), nil)
	want(t, clientErr, ErrServer, serverErr, nil)
}

func TestEveryBitOfTheServersProofCounts(t *testing.T) {
	for n := range 32 {
		clientErr, _ := login(newClient(t, "pay", secret, nil), newServer(t, directory(t), "k1", nil), func(step int, m []byte) []byte {
			if step != 4 {
				return m
			}
			signature, _ := base64.StdEncoding.DecodeString(string(m[2:]))
			signature[n] ^= 0x10
			return []byte("v=" + base64.StdEncoding.EncodeToString(signature))
		})
		if !errors.Is(clientErr, ErrServer) {
			t.Fatalf("byte %d changed: %v", n, clientErr)
		}
	}
}

func TestServersRefusalIsNotALogin(t *testing.T) {
	clientErr, _ := login(newClient(t, "pay", secret, nil), newServer(t, directory(t), "k1", nil), func(step int, m []byte) []byte {
		if step == 4 {
			return []byte("e=other-error")
		}
		return m
	})
	want(t, clientErr, ErrCredentials, nil, nil)
}

// Whatever is changed on the way, the login fails at one side or the other.
func TestTamperedMessageNeverLogsIn(t *testing.T) {
	known := directory(t)
	for step := 1; step <= 4; step++ {
		for at := 0; ; at += 3 {
			length := 0
			clientErr, serverErr := login(newClient(t, "pay", secret, binding), newServer(t, known, "k1", binding), func(n int, m []byte) []byte {
				if n == step {
					length = len(m)
					m = bytes.Clone(m)
					if at < length {
						m[at] ^= 1
					}
				}
				return m
			})
			if at >= length {
				if length == 0 {
					t.Fatalf("message %d was never sent", step)
				}
				break
			}
			if clientErr == nil && serverErr == nil {
				t.Fatalf("message %d, byte %d changed: logged in", step, at)
			}
		}
	}
}

func TestReplayedProofIsRefused(t *testing.T) {
	d := directory(t)
	var clientFirst, clientFinal []byte
	login(newClient(t, "pay", secret, nil), newServer(t, d, "k1", nil), func(n int, m []byte) []byte {
		switch n {
		case 1:
			clientFirst = m
		case 3:
			clientFinal = m
		}
		return m
	})
	s := newServer(t, d, "k1", nil)
	serverFirst, err := s.First(clientFirst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Final(clientFinal); !errors.Is(err, ErrCredentials) {
		t.Errorf("replayed as it was: %v", err)
	}
	// With the new nonce in it the proof does not fit.
	s.step = final
	values, _ := fields(clientFinal, "c=", "r=", "p=")
	nonces, _, _ := strings.Cut(string(serverFirst[2:]), ",")
	if _, err := s.Final([]byte("c=" + values[0] + ",r=" + nonces + ",p=" + values[2])); !errors.Is(err, ErrCredentials) {
		t.Errorf("replayed with the new nonce: %v", err)
	}
}

// One who knows the secret, but signs other nonces than those of this login.
func TestProofMustRepeatTheNonces(t *testing.T) {
	d := directory(t)
	known, _ := d.Lookup("pay", "k1")
	clientKey, _, _ := keys(secret, known.Salt, known.Iterations)
	for _, c := range []struct {
		added string
		want  error
	}{{"", nil}, {"x", ErrCredentials}} {
		s := newServer(t, d, "k1", nil)
		if _, err := s.First([]byte("n,,n=pay,r=rOprNGfwEbeRWgbNEkqO")); err != nil {
			t.Fatal(err)
		}
		unproved := "c=biws,r=" + s.bothNonces + c.added
		proof := xor(clientKey, sign(known.StoredKey[:], s.agreed+","+unproved))
		if _, err := s.Final([]byte(unproved + ",p=" + base64.StdEncoding.EncodeToString(proof))); !errors.Is(err, c.want) {
			t.Errorf("nonces and %q: %v, want %v", c.added, err, c.want)
		}
	}
}

func TestServerMustAddToTheNonce(t *testing.T) {
	c := newClient(t, "pay", secret, nil)
	for _, nonce := range []string{c.nonce, c.nonce + "short", "x" + c.nonce + strings.Repeat("y", 20), strings.Repeat("z", 52)} {
		c.step = final
		if _, err := c.Final([]byte("r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")); !errors.Is(err, ErrMalformed) {
			t.Errorf("nonce %s: %v", nonce, err)
		}
	}
}

func TestUnknownUserLooksLikeAKnownOne(t *testing.T) {
	d := directory(t)
	salts := make(map[string]bool)
	for _, who := range []struct{ user, keyID string }{{"pay", "k1"}, {"pay", "k2"}, {"nobody", "k1"}, {"nobody", "k2"}, {"nobodyk", "1"}} {
		var before string
		for range 2 {
			c := newClient(t, who.user, secret, nil)
			message, _ := c.First()
			s := newServer(t, d, who.keyID, nil)
			serverFirst, err := s.First(message)
			if err != nil {
				t.Fatalf("%v: %v", who, err)
			}
			values, err := fields(serverFirst, "r=", "s=", "i=")
			_, saltErr := decode(values[1], minSalt, minSalt)
			if err != nil || values[2] != "4096" || saltErr != nil || len(values[0]) != 52 {
				t.Errorf("%v: %s", who, serverFirst)
			}
			if before != "" && values[1] != before {
				t.Errorf("%v: salt %s, then %s", who, before, values[1])
			}
			before = values[1]
			proof, err := c.Final(serverFirst)
			if err != nil {
				t.Fatalf("%v: %v", who, err)
			}
			wantErr := ErrCredentials
			if who.user == "pay" && who.keyID == "k1" {
				wantErr = nil
			}
			if _, err := s.Final(proof); err != wantErr { //nolint:errorlint // the same error, not only one that wraps it
				t.Errorf("%v: %v, want %v", who, err, wantErr)
			}
		}
		salts[before] = true
	}
	if len(salts) != 5 {
		t.Errorf("%d salts for 5 pairs of user and key id", len(salts))
	}
}

// Nobody gets in with keys that a directory makes up, even one who knows how.
func TestMadeUpCredentialsLogNobodyIn(t *testing.T) {
	d := directory(t)
	made := d.unknown("nobody", "k1")
	clientKey, serverKey, _ := keys(secret, made.Salt, made.Iterations)
	c, s := newClient(t, "nobody", secret, nil), newServer(t, d, "k1", nil)
	_, serverErr := login(c, s, func(n int, m []byte) []byte {
		if n == 2 {
			s.credentials.StoredKey, s.credentials.ServerKey = sum(clientKey), [32]byte(serverKey)
		}
		return m
	})
	want(t, nil, nil, serverErr, ErrCredentials)
}

func TestStepsHaveAnOrder(t *testing.T) {
	c, s := newClient(t, "pay", secret, nil), newServer(t, directory(t), "k1", nil)
	check := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v, want ErrOrder", name, err)
		}
	}
	_, err := c.Final(nil)
	check("client's Final first", err)
	check("Verify first", c.Verify(nil))
	_, err = s.Final(nil)
	check("server's Final first", err)
	clientErr, serverErr := login(c, s, nil)
	want(t, clientErr, nil, serverErr, nil)
	_, err = c.First()
	check("client's First again", err)
	check("Verify again", c.Verify([]byte("v=")))
	_, err = s.Final(nil)
	check("server's Final again", err)
	_, err = s.First(nil)
	check("server's First again", err)

	s = newServer(t, directory(t), "k1", nil)
	s.First([]byte("rubbish"))
	_, err = s.First([]byte("n,,n=pay,r=rOprNGfwEbeRWgbNEkqO"))
	check("First after an error", err)
}

func TestNothingPrintsSecrets(t *testing.T) {
	c := newClient(t, "pay", secret, nil)
	known := derive(t, secret)
	for _, format := range []string{"%v", "%+v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, secret) {
			t.Errorf("%s of a client: %s", format, text)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, known); !strings.Contains(text, "***") || len(text) > 30 {
			t.Errorf("%s of credentials: %s", format, text)
		}
	}
}
