package scram

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

func TestServerRefusesMalformedFirst(t *testing.T) {
	const nonce = "rOprNGfwEbeRWgbNEkqO"
	d := directory(t)
	for _, c := range []struct {
		message string
		want    error
	}{
		{"", ErrMalformed},
		{"n,,n=pay", ErrMalformed},
		{"n,,n=pay,r=" + nonce + ",x=extension", ErrMalformed},
		{"n,,m=must,n=pay,r=" + nonce, ErrMalformed},
		{"n,a=admin,n=pay,r=" + nonce, ErrMalformed},
		{"n,,r=" + nonce + ",n=pay", ErrMalformed},
		{"n,,n=,r=" + nonce, ErrMalformed},
		{"n,,n=p=2cy,r=" + nonce, ErrMalformed},
		{"n,,n=pay=,r=" + nonce, ErrMalformed},
		{"n,,n=p\xc3\xa4y,r=" + nonce, ErrMalformed},
		{"n,,n=pay\n,r=" + nonce, ErrMalformed},
		{"n,,n=pay,r=" + nonce[1:], ErrMalformed},
		{"n,,n=pay,r=" + nonce[1:] + " ", ErrMalformed},
		{"n,,n=pay,r=" + strings.Repeat("r", 129), ErrMalformed},
		{"n,,n=" + strings.Repeat("u", MaxMessage) + ",r=" + nonce, ErrMalformed},
		{"x,,n=pay,r=" + nonce, ErrMalformed},
		{"N,,n=pay,r=" + nonce, ErrMalformed},
		{"y,,n=pay,r=" + nonce, ErrBinding},
		{"p=tls-exporter,,n=pay,r=" + nonce, ErrBinding}, // without TLS
		{"p=tls-unique,,n=pay,r=" + nonce, ErrBinding},
	} {
		if _, err := newServer(t, d, "k1", nil).First([]byte(c.message)); !errors.Is(err, c.want) {
			t.Errorf("%.60q: %v, want %v", c.message, err, c.want)
		}
	}
}

func TestClientRefusesMalformedFirst(t *testing.T) {
	const added, salt = "0123456789abcdefghij", "W22ZaJ0SNY7soEsUEjb6gQ=="
	for _, message := range []string{
		"", "e=unknown-user",
		"r=@" + added + ",s=" + salt,
		"r=@" + added + ",s=" + salt + ",i=4096,x=extension",
		"m=must,r=@" + added + ",s=" + salt + ",i=4096",
		"s=" + salt + ",r=@" + added + ",i=4096",
		"r=@" + added + ",s=,i=4096",
		"r=@" + added + ",s=c2hvcnQ=,i=4096",                        // a short salt
		"r=@" + added + ",s=" + strings.Repeat("A", 88) + ",i=4096", // a long one
		"r=@" + added + ",s=" + salt[:23] + ",i=4096",               // no padding
		"r=@" + added + ",s=W22ZaJ0SNY7soEsUEjb6gR==,i=4096",        // bits behind the end
		"r=@" + added + ",s=W22Z\naJ0SNY7soEsUEjb6gQ==,i=4096",      // Go's base64 would skip it
		"r=@" + strings.Repeat("n", 129) + ",s=" + salt + ",i=4096", // a long nonce
		"r=@" + added + ",s=" + salt + ",i=4095",                    // too weak
		"r=@" + added + ",s=" + salt + ",i=100001",                  // too dear
		"r=@" + added + ",s=" + salt + ",i=99999999999999999999",    // more than an int
		"r=@" + added + ",s=" + salt + ",i=04096",                   // two ways to write one
		"r=@" + added + ",s=" + salt + ",i=+4096",                   //
		"r=@" + added + ",s=" + salt + ",i=-4096",                   //
		"r=@" + added + ",s=" + salt + ",i=4096" + strings.Repeat(" ", MaxMessage),
	} {
		c := newClient(t, "pay", secret, nil)
		c.step = final
		if _, err := c.Final([]byte(strings.Replace(message, "@", c.nonce, 1))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60q: %v", message, err)
		}
	}
	for _, iterations := range []string{"4096", "100000"} {
		c := newClient(t, "pay", secret, nil)
		c.step = final
		if _, err := c.Final([]byte("r=" + c.nonce + added + ",s=" + salt + ",i=" + iterations)); err != nil {
			t.Errorf("%s iterations: %v", iterations, err)
		}
	}
}

func TestMalformedFinals(t *testing.T) {
	for _, message := range []string{"", "v=", "v=AAAA", "v=" + strings.Repeat("A", 44), "x=1", "v=" + strings.Repeat("A", 43) + "=,x=1"} {
		c := newClient(t, "pay", secret, nil)
		c.step = verify
		if err := c.Verify([]byte(message)); !errors.Is(err, ErrMalformed) {
			t.Errorf("client, %q: %v", message, err)
		}
	}
	proof := strings.Repeat("A", 43) + "="
	for _, message := range []string{"", "c=biws,r=n", "c=biws,r=n,p=", "c=biws,r=n,p=AAAA", "c=biws,r=n,x=1,p=" + proof, "r=n,c=biws,p=" + proof} {
		s := newServer(t, directory(t), "k1", nil)
		s.step = final
		if _, err := s.Final([]byte(message)); !errors.Is(err, ErrMalformed) {
			t.Errorf("server, %q: %v", message, err)
		}
	}
}

func TestWhatCannotWorkIsSaidAtOnce(t *testing.T) {
	for _, c := range [][2]string{{"", secret}, {"pay", ""}, {"päy", secret}} {
		if _, err := NewClient(c[0], c[1], nil); err == nil {
			t.Errorf("a client of %q and %q", c[0], c[1])
		}
	}
	if _, err := newClient(t, strings.Repeat("u", MaxMessage), secret, nil).First(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a long name: %v", err)
	}
	good := directory(t)
	for _, d := range []*Directory{
		{},
		{Lookup: good.Lookup, Secret: good.Secret[:31]},
		{Secret: good.Secret},
		{Lookup: good.Lookup, Secret: good.Secret, Iterations: 4095},
		{Lookup: good.Lookup, Secret: good.Secret, Iterations: 100_001},
	} {
		if _, err := NewServer(d, "", nil); err == nil {
			t.Errorf("a server of %+v", d)
		}
	}
	good.Lookup = func(string, string) (Credentials, bool) { return Credentials{}, true }
	if _, err := newServer(t, good, "k1", nil).First([]byte("n,,n=pay,r=rOprNGfwEbeRWgbNEkqO")); err == nil {
		t.Error("a login with empty credentials goes on")
	}
}

func TestCredentialsAsText(t *testing.T) {
	known := derive(t, secret)
	again, err := ParseCredentials(known.Encode())
	if err != nil || again.Encode() != known.Encode() || again.StoredKey != known.StoredKey || again.ServerKey != known.ServerKey {
		t.Fatalf("%s became %s: %v", known.Encode(), again.Encode(), err)
	}
	if other := derive(t, secret); other.Encode() == known.Encode() {
		t.Error("two derivations share a salt")
	}
	text := known.Encode()
	for _, bad := range []string{"", text[1:], text + "A", text + "\n", strings.Replace(text, "4096", "1", 1), strings.Replace(text, "$", ":", 2), text[:60]} {
		if _, err := ParseCredentials(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if len(bad) > 40 && strings.Contains(err.Error(), bad[20:40]) {
			t.Errorf("the error quotes the text: %v", err)
		}
	}
	for _, iterations := range []int{-1, 1, 4095, 100_001} {
		if _, err := Derive(secret, iterations); err == nil {
			t.Errorf("derived with %d iterations", iterations)
		}
	}
	if _, err := Derive("", 0); err == nil {
		t.Error("derived from nothing")
	}
}

// The server before a login is what anybody can reach.
func FuzzServer(f *testing.F) {
	f.Add([]byte("n,,n=pay,r=rOprNGfwEbeRWgbNEkqO"), []byte("c=biws,r=@,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	f.Add([]byte("p=tls-exporter,,n=a=2Cb=3D,r=rOprNGfwEbeRWgbNEkqO"), []byte("c=biws,r=@,p="))
	f.Add([]byte("y,,n=,r="), []byte(",,,"))
	d := directory(f)
	f.Fuzz(func(t *testing.T, clientFirst, clientFinal []byte) {
		for _, binding := range [][]byte{nil, binding} {
			s := newServer(t, d, "k1", binding)
			serverFirst, err := s.First(clientFirst)
			if err != nil {
				continue
			}
			if len(serverFirst) > MaxMessage {
				t.Errorf("answers with %d bytes", len(serverFirst))
			}
			answer := strings.Replace(string(clientFinal), "@", s.bothNonces, 1)
			if _, err := s.Final([]byte(answer)); err == nil {
				t.Errorf("%q logged in without the secret", answer)
			}
		}
	})
}

// The client must stand what a false server says.
func FuzzClient(f *testing.F) {
	f.Add([]byte("r=@%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), []byte("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="))
	f.Add([]byte("r=@,s=,i=100000"), []byte("e=other-error"))
	f.Fuzz(func(t *testing.T, serverFirst, serverFinal []byte) {
		c := newClient(t, "pay", secret, nil)
		if _, err := c.First(); err != nil {
			t.Fatal(err)
		}
		proof, err := c.Final([]byte(strings.Replace(string(serverFirst), "@", c.nonce, 1)))
		if err != nil {
			return
		}
		if len(proof) > MaxMessage {
			t.Errorf("answers with %d bytes", len(proof))
		}
		if err := c.Verify(serverFinal); err == nil {
			t.Errorf("%q passed for a proof", serverFinal)
		}
	})
}

func BenchmarkServerLogin(b *testing.B) {
	d := directory(b)
	for b.Loop() {
		s, _ := NewServer(d, "k1", nil)
		first, err := s.First([]byte("n,,n=pay,r=rOprNGfwEbeRWgbNEkqO"))
		if err != nil || len(first) == 0 {
			b.Fatal(err)
		}
		s.Final([]byte("c=biws,r=" + s.bothNonces + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	}
}

func BenchmarkClientLogin(b *testing.B) {
	for b.Loop() {
		c, _ := NewClient("pay", secret, nil)
		c.First()
		if _, err := c.Final([]byte("r=" + c.nonce + "0123456789abcdefghij,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")); err != nil {
			b.Fatal(err)
		}
	}
}
