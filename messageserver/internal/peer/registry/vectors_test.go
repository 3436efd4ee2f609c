package registry

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// TestGoldenVectors: entries, contracts and digests are hashed as every other implementation hashes them.
func TestGoldenVectors(t *testing.T) {
	text, err := os.ReadFile("../../../../proto/testdata/registry.json")
	if err != nil {
		t.Fatal(err)
	}
	type hashed struct {
		Encoding string `json:"encoding"`
		Hash     string `json:"hash"`
	}
	var file struct {
		Vectors []struct {
			Name      string   `json:"name"`
			Entries   []hashed `json:"entries"`
			Contracts []hashed `json:"contracts"`
			Digest    string   `json:"digest"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("there are no vectors")
	}
	read := func(t *testing.T, encoding string, m proto.Message) []byte {
		t.Helper()
		b, err := hex.DecodeString(encoding)
		if err == nil {
			err = proto.Unmarshal(b, m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			contracts := make(map[uint64]*router.Methods)
			for _, c := range v.Contracts {
				var hash uint64
				if _, err := fmt.Sscanf(c.Hash, "%x", &hash); err != nil {
					t.Fatal(err)
				}
				m := &pb.Methods{}
				read(t, c.Encoding, m)
				methods, err := readContract(&pb.Contract{Hash: hash, Methods: m.GetMethods()})
				if err != nil {
					t.Fatal(err)
				}
				contracts[hash] = methods
			}
			own := NewOwn(1)
			var changes []router.Change
			for _, e := range v.Entries {
				m := &pb.Entry{}
				encoded := read(t, e.Encoding, m)
				r, err := NewView("n").read(m, contracts, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got := appendEntry(nil, r); string(got) != string(encoded) {
					t.Errorf("encoded %x, want %s", got, e.Encoding)
				}
				if got := hashOf(encoded).String(); got != e.Hash {
					t.Errorf("the hash is %s, want %s", got, e.Hash)
				}
				changes = append(changes, router.Change{Session: r.Session, Registration: r})
			}
			own.Apply(changes)
			if got := own.Digest().String(); got != v.Digest || own.Count() != len(v.Entries) {
				t.Errorf("the digest of %d entries is %s, want that of %d, %s", own.Count(), got, len(v.Entries), v.Digest)
			}
		})
	}
}
