package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestGeneratedFilesAreClean wants the committed files to be what scripts/gen makes of the .proto files now.
func TestGeneratedFilesAreClean(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	// The go command caches a test's result by the files that the test itself opened, and knows nothing of those that
	// the script reads: they are opened here.
	for _, pattern := range []string{"../proto/*.proto", "../proto/buf*.yaml", "../scripts/gen", "../tools/*/go.mod"} {
		if len(readAll(t, pattern)) == 0 {
			t.Fatalf("%s matches nothing", pattern)
		}
	}

	out := t.TempDir()
	if output, err := exec.Command("../scripts/gen", out).CombinedOutput(); err != nil {
		t.Fatalf("scripts/gen: %v\n%s", err, output)
	}
	for _, difference := range compareFiles(readAll(t, "../proto/pb/*.pb.go"), readAll(t, out+"/*")) {
		t.Errorf("proto/pb/%s; run scripts/gen and commit", difference)
	}
}

// readAll maps base names to contents.
func readAll(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = content
	}
	return files
}

// compareFiles says which files differ between what is committed and what was generated.
func compareFiles(committed, generated map[string][]byte) (differences []string) {
	for name, content := range generated {
		switch other, found := committed[name]; {
		case !found:
			differences = append(differences, name+" is missing")
		case !bytes.Equal(content, other):
			differences = append(differences, name+" is not what the .proto file says")
		}
	}
	for name := range committed {
		if _, found := generated[name]; !found {
			differences = append(differences, name+" has no .proto file any more")
		}
	}
	slices.Sort(differences)
	return differences
}

func TestCompareFilesFindsDifferences(t *testing.T) {
	got := compareFiles(
		map[string][]byte{"same": []byte("1"), "changed": []byte("1"), "left": nil},
		map[string][]byte{"same": []byte("1"), "changed": []byte("2"), "new": nil})
	want := []string{"changed is not what the .proto file says", "left has no .proto file any more", "new is missing"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
