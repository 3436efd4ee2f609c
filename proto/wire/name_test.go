package wire_test

import (
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

func TestSplitMethod(t *testing.T) {
	for full, want := range map[string][2]string{
		"pay.Charge": {"pay", "Charge"}, "eu.pay.Charge": {"eu.pay", "Charge"}, "..x": {".", "x"}, "pay._outcome": {"pay", "_outcome"},
	} {
		if module, method, err := wire.SplitMethod(full); err != nil || module != want[0] || method != want[1] {
			t.Errorf("%q is %q, %q, %v", full, module, method, err)
		}
	}
	for _, full := range []string{"", "pay", ".Charge", "pay.", "pay. Charge", "p y.Charge", long(128) + ".x", "x." + long(128)} {
		if _, _, err := wire.SplitMethod(full); code(err) != "BAD_REQUEST" {
			t.Errorf("%q: %v", full, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"a": "OK", "A-z_0:9.": "OK", "": "BAD_REQUEST", "a b": "BAD_REQUEST"} {
		if got := code(wire.CheckName("group", name)); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if code(wire.CheckMethod("a.b")) != "BAD_REQUEST" || code(wire.CheckMethod("_ping")) != "OK" {
		t.Error("a method has no dot; _ping is well-formed")
	}
	if !wire.Reserved("_node") || wire.Reserved("node_") || wire.Reserved("") {
		t.Error("reserved is what begins with _")
	}
}
