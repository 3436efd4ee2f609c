package router

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
)

func TestEqualSetsOfMethodsAreOneValue(t *testing.T) {
	a := NewMethods(map[string]Contract{"Charge": {Idempotent: true}, "Move": {Visibility: "internal"}})
	given := map[string]Contract{"Move": {}, "Charge": {Idempotent: true, Visibility: "internal"}}
	b := NewMethods(given)
	if a != b {
		t.Error("two values of one set")
	}
	if v := NewMethods(map[string]Contract{"Unsaid": {}}).ByName["Unsaid"].Visibility; v != "internal" {
		t.Errorf("a method that names no visibility is %q, want internal", v)
	}
	given["Move"] = Contract{RunLate: true}
	if a.ByName["Move"].RunLate {
		t.Error("the set is the caller's map")
	}
	for _, other := range []map[string]Contract{
		nil, {"Charge": {Idempotent: true}}, {"Charge": {}, "Move": {}}, {"Charge": {Idempotent: true}, "Movf": {}},
		{"Charge": {Reachable: true}, "Move": {}}, {"Charge": {RunLate: true}, "Move": {}},
		{"Charge": {Idempotent: true}, "Move": {Visibility: "external"}}, {"Charge": {Idempotent: true}, "Move": {DefaultTimeoutMS: 1}},
	} {
		if o := NewMethods(other); o == a || o.Hash == a.Hash {
			t.Errorf("%v is taken for %v", other, a.ByName)
		}
	}
	if NewMethods(nil) != noMethods || len(noMethods.ByName) != 0 {
		t.Error("the empty set is no set like others")
	}
}

// TestTheHashOfMethods compares with what a protobuf library writes, field by field in order.
func TestTheHashOfMethods(t *testing.T) {
	m := NewMethods(map[string]Contract{
		"b": {Idempotent: true, Reachable: true, RunLate: true, Visibility: "admin", DefaultTimeoutMS: 70_000},
		"a": {Visibility: "external"},
		"B": {},
	})
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Methods{Methods: []*pb.Method{
		{Name: "B"},
		{Name: "a", Visibility: pb.Visibility_VISIBILITY_EXTERNAL},
		{Name: "b", Idempotent: true, Reachable: true, Visibility: pb.Visibility_VISIBILITY_ADMIN, DefaultTimeoutMs: 70_000, RunLate: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(encoded)
	if want := binary.BigEndian.Uint64(sum[:]); m.Hash != want {
		t.Errorf("hash %016x, want %016x", m.Hash, want)
	}
	for number, name := range visibilities {
		if want := strings.ToLower(strings.TrimPrefix(pb.Visibility(number).String(), "VISIBILITY_")); name != want {
			t.Errorf("visibility %d is %s, want %s", number, name, want)
		}
	}
}

func TestMethodsThatNobodyHoldsAreForgotten(t *testing.T) {
	held := NewMethods(map[string]Contract{"Held": {}})
	sum := sha256.Sum256(encodeMethods(map[string]Contract{"Lost": {}}))
	NewMethods(map[string]Contract{"Lost": {}})
	there := func() bool {
		interned.mu.Lock()
		defer interned.mu.Unlock()
		_, there := interned.sets[sum]
		return there
	}
	for tries := 0; there(); tries++ {
		if tries == 1000 {
			t.Fatal("it is kept")
		}
		runtime.GC()
		runtime.Gosched()
	}
	if NewMethods(map[string]Contract{"Held": {}}) != held {
		t.Error("a set that is held was forgotten")
	}
	runtime.KeepAlive(held)
}
