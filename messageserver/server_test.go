package messageserver

import (
	"net"
	"strings"
	"testing"
)

// The text of an address says less than what was opened: a listener that comes from outside is looked at, too.
func TestNoSecretsMeansLoopback(t *testing.T) {
	open, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Listener: open, Admin: AdminOptions{Listen: "off"}})
	if err == nil {
		_ = s.Close()
		t.Fatal("a node that asks for no secrets listens to everybody")
	}
	if !strings.Contains(err.Error(), "auth.mode") {
		t.Errorf("%v: does not say which key would be right", err)
	}
	if _, err := open.Accept(); err == nil {
		t.Error("the listener is open still")
	}
}
