package peer

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// noon is when the runs of these tests start.
var noon = time.UnixMilli(1_700_000_000_000)

func open(t *testing.T, dir string, now time.Time) *Incarnation {
	t.Helper()
	i, err := OpenIncarnation(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

func wantKept(t *testing.T, dir string, want uint64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "incarnation"))
	if err != nil || string(text) != strconv.FormatUint(want, 10)+"\n" {
		t.Errorf("the file has %q (%v), want %d", text, err, want)
	}
}

func TestEveryRunHasAGreaterIncarnation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "a")
	var last uint64
	for _, start := range []struct {
		when string
		now  time.Time
		want uint64
	}{
		{"the first", noon, 1_700_000_000_000},
		{"in the same millisecond", noon, 1_700_000_000_001},
		{"after the clock went back a year", noon.AddDate(-1, 0, 0), 1_700_000_000_002},
		{"after the clock went back before 1970", time.Unix(-1, 0), 1_700_000_000_003},
		{"a minute later", noon.Add(time.Minute), 1_700_000_060_000},
	} {
		i := open(t, dir, start.now)
		if got := i.Value(); got != start.want || got <= last {
			t.Errorf("%s: %d, want %d and more than %d", start.when, got, start.want, last)
		}
		wantKept(t, dir, i.Value())
		last = i.Value()
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v (%v), want 0700", info.Mode(), err)
	}
}

func TestRaiseIsKeptBeforeItIsUsed(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, noon)
	first := i.Value()
	if got, err := i.Raise(first - 1); got != first || err != nil {
		t.Errorf("raised above less: %d, %v, want %d as before", got, err, first)
	}
	if got, err := i.Raise(first + 99); got != first+100 || err != nil {
		t.Errorf("got %d, %v, want %d", got, err, first+100)
	}
	wantKept(t, dir, first+100)
	if got, err := i.Raise(math.MaxUint64); err == nil || got != first+100 || i.Value() != first+100 {
		t.Errorf("raised beyond the end: %d, %v", got, err)
	}
	if got, err := i.Raise(1 << 62); err == nil || got != first+100 || i.Value() != first+100 {
		t.Errorf("raised by somebody who uses the numbers up: %d, %v", got, err)
	}
	block(t, filepath.Join(dir, "incarnation.tmp"))
	if got, err := i.Raise(first + 200); err == nil || got != first+100 || i.Value() != first+100 {
		t.Errorf("raised without being kept: %d, %v", got, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "incarnation.tmp")); err != nil {
		t.Fatal(err)
	}
	i.Close()
	if got, err := i.Raise(first + 300); err == nil || got != first+100 {
		t.Errorf("raised in a folder that is another process's: %d, %v", got, err)
	}
}

// block puts a folder where a file must be written, which stops the superuser, too.
func block(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeReadOrKeptIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"the file has a word":        {content("seven\n"), `has "seven\n", which is not a number`},
		"the file is empty":          {content(""), `has "", which is not a number`},
		"the file has two numbers":   {content("7\n8\n"), "is not a number"},
		"the file has a long number": {content(strings.Repeat("9", 50)), "is not a number"},
		"nothing is greater":         {content(strconv.FormatUint(math.MaxInt64, 10) + "\n"), "is not a number from 0 to"},
		"the file is a folder": {
			func(dir string) error { return os.Mkdir(filepath.Join(dir, "incarnation"), 0o700) },
			"incarnation: ",
		},
		"nothing can be written beside it": {
			func(dir string) error { return os.Mkdir(filepath.Join(dir, "incarnation.tmp"), 0o700) },
			"cannot be kept",
		},
		"the folder is a file": {
			func(dir string) error { os.Remove(dir); return os.WriteFile(dir, nil, 0o600) },
			"mkdir ",
		},
		"the lock is a folder": {
			func(dir string) error { return os.Mkdir(filepath.Join(dir, "lock"), 0o700) },
			"is a directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			i, err := OpenIncarnation(dir, noon)
			if err == nil {
				t.Fatalf("opened: %d", i.Value())
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %q, want the folder and %q in it", err, c.want)
			}
			if again, err := OpenIncarnation(dir, noon); err == nil || strings.Contains(err.Error(), "another process") {
				t.Errorf("the second time: %v, %v, want the same refusal: nothing may stay locked", again, err)
			}
		})
	}
}

func content(text string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, "incarnation"), []byte(text), 0o600) }
}

func TestAFolderIsOneProcesss(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, noon)
	if _, err := OpenIncarnation(dir, noon); err == nil || !strings.Contains(err.Error(), "another process uses "+dir) {
		t.Errorf("a second one: %v", err)
	}
	wantKept(t, dir, first.Value())
	first.Close()
	first.Close()
	second := open(t, dir, noon)
	if second.Value() <= first.Value() {
		t.Errorf("%d after %d", second.Value(), first.Value())
	}
}

func TestWithoutAFolderTheClockIsAll(t *testing.T) {
	i := open(t, "", noon)
	if got := i.Value(); got != 1_700_000_000_000 {
		t.Errorf("got %d", got)
	}
	if got, err := i.Raise(1_700_000_000_005); got != 1_700_000_000_006 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got := open(t, "", time.Unix(-1, 0)).Value(); got != 1 {
		t.Errorf("before 1970 it is %d, want 1", got)
	}
}

func TestManyRaiseAtOnce(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir, noon)
	first := i.Value()
	var links sync.WaitGroup
	for n := range uint64(8) {
		links.Go(func() {
			got, err := i.Raise(first + n)
			if err != nil || got <= first+n {
				t.Errorf("got %d, %v, want more than %d", got, err, first+n)
			}
		})
	}
	links.Wait()
	if got := i.Value(); got != first+8 {
		t.Errorf("got %d, want %d", got, first+8)
	}
	wantKept(t, dir, i.Value())
}
