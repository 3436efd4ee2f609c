package messageserver

import "testing"

// TestANodeWithoutItsListenerIsNotReady: whoever steers modules to nodes hears of a drain as soon as it begins.
func TestANodeWithoutItsListenerIsNotReady(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "unix:" + t.TempDir() + "/n"} {
		s, err := New(Options{Listen: listen, Admin: AdminOptions{Listen: "off"}})
		if err != nil {
			t.Fatal(err)
		}
		src := s.adminSources()
		if !src.Listening() || src.Draining() {
			t.Errorf("%s: a new node does not listen, or drains", listen)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if src.Listening() || !src.Draining() {
			t.Errorf("%s: a node whose listener is closed listens, or does not drain", listen)
		}
	}
}

// TestANodeWasStartedOnce: whoever asks, and when.
func TestANodeWasStartedOnce(t *testing.T) {
	s := newMember(t)
	if first, second := s.adminSources().Started, s.adminSources().Started; first.IsZero() || !first.Equal(second) {
		t.Errorf("started %v and %v", first, second)
	}
}

func TestOperatorsSeeEveryCodeAndClass(t *testing.T) {
	s, err := New(Options{Listen: "127.0.0.1:0", Admin: AdminOptions{Listen: "off"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	src := s.adminSources()
	if want := len(s.router.Counters().Settled); len(src.Classes) != want {
		t.Errorf("%d classes have names, want %d: %q", len(src.Classes), want, src.Classes)
	}
	for _, c := range src.Codes {
		if c.Number >= len(s.router.Counters().Codes) || c.Name == "" || c.Class == "" {
			t.Errorf("code %+v", c)
		}
	}
}
