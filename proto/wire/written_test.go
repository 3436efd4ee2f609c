package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// TestVectorsAreWritten makes every file of ../testdata and compares it with what is there; -update writes it.
func TestVectorsAreWritten(t *testing.T) {
	wantWritten(t, "codes.json", "The assigned status codes.", codeVectors())
	wantWritten(t, "kinds.json", "The assigned kinds and their directions.", kindVectors())
	wantWritten(t, "states.json", "What a node does with each kind in each state of a module's connection.", stateVectors(t))
	wantWritten(t, "frames.json", "Frames as bytes, and what Decode makes of them.", frameVectors())
	wantWritten(t, "prefixes.json", "Whole frames from a module, and what a node says of their prefix.", prefixVectors())
	wantWritten(t, "requests.json", "Headers of REQUEST, and what the header walk says.", requestVectors(t))
	wantWritten(t, "options.json", "Requests from a module whose header is well-formed, and whether their options go together.", optionVectors())
	wantWritten(t, "responses.json", "Headers of a server's RESPONSE, what the header walk says, and the status that a node passes on.", responseVectors(t))
	wantWritten(t, "messages.json", "One frame for each control message and each header, with every field set.", messageVectors(t))
	wantWritten(t, "logins.json", "LOGIN messages, and what a node says of them.", loginVectors(t))
	wantWritten(t, "policies.json", "POLICY messages, and what a server says of them.", policyVectors(t))
	wantWritten(t, "versions.json", "Version ranges, and what a node of version 1 makes of them.", versionVectors())
	wantWritten(t, "parts.json", "Frames in order, and the messages that they join to.", partsVectors())
	wantWritten(t, "hellos.json", "HELLO messages, and what a node says of their form.", helloVectors(t))
	wantWritten(t, "peer_states.json", "What a node does with each kind in each state of a link.", linkVectors(t))
	wantWritten(t, "peer_prefixes.json", "Whole frames from another node, and what a node says of their prefix.", peerPrefixVectors())
	wantWritten(t, "peer_answers.json", "Headers of RESPONSE from another node, and what the ingress says of them.", peerAnswerVectors(t))
	wantWritten(t, "registry.json", "Entries and contracts, what their hashes are computed over, and digests.", registryVectors())
	wantWritten(t, "digests.json", "What a digest's mac is computed over, and the mac.", digestVectors(t))
}

func wantWritten[V any](t *testing.T, name, about string, vectors []V) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"about\": %q,\n\"vectors\": [\n", about)
	for i, v := range vectors {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		if i < len(vectors)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n}\n")
	path := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is not what the generator makes: go generate ./proto/wire, and read the difference", name)
	}
}

func codeVectors() (all []codeVector) {
	for _, c := range wire.Codes() {
		all = append(all, codeVector{uint16(c), c.String(), c.Class().String(), c.GRPC()})
	}
	return all
}

func assignedKinds() []wire.Kind { return slices.Sorted(maps.Keys(wire.Kinds())) }

func kindVectors() (all []kindVector) {
	for _, k := range assignedKinds() {
		all = append(all, kindVector{uint8(k), k.String(), k.Goes(wire.ModuleToNode), k.Goes(wire.NodeToModule), k.Goes(wire.NodeToNode)})
	}
	return all
}
