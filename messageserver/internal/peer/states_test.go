package peer

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// TestTheTableOfStatesIsTheSpecifications compares what is taken when with the matrix of PROTOCOL.md, "Node to node".
func TestTheTableOfStatesIsTheSpecifications(t *testing.T) {
	text, err := os.ReadFile("../../../proto/testdata/peer_states.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Kind   string `json:"kind"`
			State  string `json:"state"`
			Result string `json:"result"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]wire.Kind)
	for k, name := range wire.Kinds() {
		byName[name] = k
	}
	compared := 0
	for _, v := range file.Vectors {
		k, assigned := byName[v.Kind]
		if !assigned || v.State == "preface" { // frameconn closes what begins with anything else
			continue
		}
		r := &dispatch[k]
		states := map[string][]bool{
			"hello": {r.accepted[stepHello]}, "proof": {r.accepted[stepProof]},
			"dialled": {r.dialled[stepHello]}, "proved": {r.dialled[stepProof]}, "named": {r.dialled[stepName]},
			"open": {r.accepted[stepOpen], r.dialled[stepOpen]},
		}
		taken, known := states[v.State]
		if !known {
			t.Errorf("there is no state %q", v.State)
		}
		for _, is := range taken {
			compared++
			if is != (v.Result == "handled") {
				t.Errorf("%s in state %s: taken is %v, and PROTOCOL.md says %q", v.Kind, v.State, is, v.Result)
			}
		}
	}
	if want := 14 * 7; compared != want {
		t.Errorf("%d cells compared, want %d", compared, want)
	}
}
