package discovery

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsSavedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members.yaml")
	// Names that YAML would take for something else.
	l := List{{"no", 5, "a:1"}, {"1", 1, "null:1"}, {"1.50", 2, "[::1]:1"}, {"-", 3, "b:1"}, {"a:b", 4, "c:1"}, {":", 0, "d:1"}, {"0x1", 6, "e:1"}, {"1:30", 7, "f:1"}}
	if err := Save(path, l); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if diff := cmp.Diff(l.Sorted(), got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "# ") || !strings.Contains(string(text), "edited by hand") {
		t.Errorf("it does not say who wrote it: %s", text)
	}
	wantMode(t, path, 0o644)
	wantAlone(t, path)
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != want {
		t.Errorf("%s has mode %v (%v), want %v", path, info.Mode(), err, want)
	}
}

// wantAlone: nothing is left beside the file.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) > 1 {
		t.Errorf("beside the file there is more: %v, %v", entries, err)
	}
}

func TestSaveKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "lists", "members.yaml"), filepath.Join(dir, "members.yaml")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, file, "")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("lists", "members.yaml"), link); err != nil {
		t.Fatal(err)
	}
	if err := Save(link, trio()); err != nil {
		t.Fatal(err)
	}
	wantMode(t, file, 0o640)
	wantAlone(t, file)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is one no more: %v, %v", info, err)
	}
	if got, err := Load(link); err != nil || got.Hash() != trio().Hash() {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSaveThatFailsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members.yaml")
	if err := Save(path, trio()); err != nil {
		t.Fatal(err)
	}
	wrong := append(trio(), Member{"a", 4, "d:1"})
	if err := Save(path, wrong); err == nil || !strings.Contains(err.Error(), path+`: not written: members[3].node: "a" stands twice`) {
		t.Errorf("got %v", err)
	}
	if got, err := Load(path); err != nil || got.Hash() != trio().Hash() {
		t.Errorf("the file has changed: %v, %v", got, err)
	}
	wantAlone(t, path)

	folder := filepath.Join(t.TempDir(), "members.yaml")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Save(folder, trio()); err == nil || !strings.Contains(err.Error(), "not written") {
		t.Errorf("over a folder: %v", err)
	}
	wantAlone(t, folder)
	if err := Save(filepath.Join(folder, "none", "members.yaml"), trio()); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("into a folder that is not there: %v", err)
	}
}

// TestNobodySeesAHalf: readers read while two write; each time it is one of the two lists.
func TestNobodySeesAHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members.yaml")
	small, large := trio(), List{}
	for n := range 200 {
		large = append(large, Member{"n" + strings.Repeat("x", n%100) + string(rune('0'+n/100)), n, "h" + strings.Repeat("x", n%60) + ":" + string(rune('1'+n/60))})
	}
	if err := Save(path, small); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for _, l := range []List{small, large} {
		writers.Go(func() {
			for range 50 {
				if err := Save(path, l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if l, err := Load(path); err != nil || len(l) != len(small) && len(l) != len(large) {
				t.Errorf("seen: %d members, %v", len(l), err)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	wantAlone(t, path)
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	pipe, big, broken := filepath.Join(dir, "pipe"), filepath.Join(dir, "big"), filepath.Join(dir, "broken")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, big, "members:\n#"+strings.Repeat("x", maxFile)+"\n")
	put(t, broken, "members:\n  - {node: a, number: 1}\nx: y\n")
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "none: no such file or directory",
		dir:                        ": is not a file",
		pipe:                       "pipe: is not a file",
		big:                        "big: has more than 1048576 bytes",
		broken:                     "broken:2:5: address is missing\n" + broken + `:3:1: "x" is not a key; the keys here are: members`,
	} {
		if l, err := Load(path); err == nil || l != nil || !strings.HasPrefix(err.Error(), path) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", path, l, err, want)
		}
	}
}

// put writes into a file as an editor does that does not care: the old content is gone before the new one is there.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
