package peer

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// vectors returns those of a file of proto/testdata.
func vectors[T any](t testing.TB, name string) []T {
	t.Helper()
	var file struct {
		Vectors []T `json:"vectors"`
	}
	text, err := os.ReadFile(filepath.Join("../../../proto/testdata", name))
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%s: %d vectors, %v", name, len(file.Vectors), err)
	}
	return file.Vectors
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
