package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAFileThatACrashCutIsContinued cuts the last line at each of its bytes.
func TestAFileThatACrashCutIsContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	add(t, l, 3)
	must(t, l.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	third := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := third; cut <= len(whole); cut++ {
		must(t, os.WriteFile(path, whole[:cut], 0o600))
		var events bytes.Buffer
		l, err := Open(path, Options{Wall: wall(), Log: slog.New(slog.NewTextHandler(&events, nil))})
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
		kept := uint64(2)
		if cut == len(whole) {
			kept = 3
		}
		if torn := strings.Contains(events.String(), "torn"); torn != (cut > third && cut < len(whole)) {
			t.Errorf("cut at %d of %d: the log says %q", cut, len(whole), &events)
		}
		wantWhole(t, l, 1, kept)
		add(t, l, 1)
		wantWhole(t, l, 1, kept+1)
		must(t, l.Close())
	}
}

func TestATornLineMayBeLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	add(t, l, 2)
	must(t, l.Close())
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(make([]byte, 3*MaxRecord)) // a file that grew, and whose blocks were not written
	must(t, errors.Join(err, f.Close()))
	l = open(t, path, Options{})
	add(t, l, 1)
	wantWhole(t, l, 1, 3)
}

// TestLongLinesAreReadBack has lines that are longer than a block, as long, and shorter.
func TestLongLinesAreReadBack(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.log"), Options{})
	sizes := []int{1, 64 << 10, 10, 200 << 10, MaxRecord - 400, 3}
	for _, n := range sizes {
		r := record(n)
		r.Reason = strings.Repeat("x", n)
		must(t, l.Append(t.Context(), r))
	}
	list, err := l.List(t.Context(), Filter{})
	must(t, err)
	if seqs(list) != "6 5 4 3 2 1" {
		t.Error(seqs(list))
	}
	for i, r := range list {
		if len(r.Reason) != sizes[len(sizes)-1-i] {
			t.Errorf("record %d has %d bytes", r.Seq, len(r.Reason))
		}
	}
	wantWhole(t, l, 1, 6)
}

func TestRotationKeepsAllInOneChain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	must(t, os.WriteFile(filepath.Join(dir, "audit.log.bak"), []byte("not ours\n"), 0o600))
	l := open(t, path, Options{MaxBytes: 600})
	add(t, l, 10)
	n := l.View().Files
	if info, err := os.Stat(path + ".000001"); err != nil || info.Size() > 600 || n < 4 {
		t.Fatal(info, err, n)
	}
	wantWhole(t, l, 1, 10)
	must(t, l.Close())

	l = open(t, path, Options{MaxBytes: 600})
	add(t, l, 10)
	wantWhole(t, l, 1, 20)
	must(t, l.Close())

	// A crash after the file was renamed, and before the next one was there.
	renamed, err := (&files{path: path}).renamed()
	must(t, err)
	must(t, os.Rename(path, path+".999999"))
	l = open(t, path, Options{MaxBytes: 600})
	add(t, l, 1)
	wantWhole(t, l, 1, 21)
	if list, err := l.List(t.Context(), Filter{}); err != nil || len(list) != 21 || list[20].Seq != 1 {
		t.Error(seqs(list), err)
	}

	// The next number has more digits.
	add(t, l, 10)
	wantWhole(t, l, 1, 31)
	must(t, l.Close())
	l = open(t, path, Options{MaxBytes: 600})
	wantWhole(t, l, 1, 31)

	// The oldest are moved away: the rest is whole, and begins later.
	must(t, os.Remove(renamed[0]))
	if s, err := l.Verify(t.Context()); err != nil || s.First < 2 || s.Last != 31 {
		t.Errorf("%+v, %v", s, err)
	}
	// One in the middle is not there: that is a break.
	must(t, os.Remove(renamed[2]))
	if _, err := l.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "follows record") {
		t.Error(err)
	}
}

func TestVerifyNamesWhatWasChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := open(t, path, Options{})
	add(t, l, 5)
	whole, err := os.ReadFile(path)
	must(t, err)
	lines := strings.SplitAfter(strings.TrimSuffix(string(whole), "\n"), "\n")
	lines[4] += "\n"
	join := func(parts ...string) string { return strings.Join(parts, "") }
	for name, c := range map[string]struct{ text, want string }{
		"nothing": {string(whole), ""},
		"a reason was edited": {
			join(lines[0], strings.Replace(lines[1], "because", "BECAUSE", 1), lines[2], lines[3], lines[4]),
			":3: record 3 was written after another record 2",
		},
		"a line was taken out": {join(lines[0], lines[1], lines[3], lines[4]), ":3: record 4 follows record 2"},
		"a line stands twice":  {join(lines[0], lines[1], lines[1], lines[2], lines[3], lines[4]), ":3: record 2 follows record 2"},
		"two were swapped":     {join(lines[1], lines[0], lines[2], lines[3], lines[4]), ":2: record 1 follows record 2"},
		"the first is gone, and the next renumbered": {
			join(strings.Replace(lines[1], `"seq":2`, `"seq":1`, 1), lines[2], lines[3], lines[4]), ":1: the first record has the number 1 and names",
		},
		"a line is no record":    {join(lines[0], lines[1], "{}\n", lines[3], lines[4]), ":3: is not a record"},
		"a field was added":      {join(lines[0], strings.Replace(lines[1], `"seq"`, `"x":1,"seq"`, 1), lines[2], lines[3], lines[4]), ":2: is not a record"},
		"the last is gone":       {join(lines[:4]...), ": the last record is 4"},
		"the last was edited":    {join(lines[0], lines[1], lines[2], lines[3], strings.Replace(lines[4], "because", "BECAUSE", 1)), ": the last record is 5"},
		"everything is gone":     {"", ": the last record is 0"},
		"a line is far too long": {join(lines[0], strings.Repeat("x", 2*MaxRecord), "\n"), ":2: is not a record: it has more than"},
	} {
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		_, err := l.Verify(t.Context())
		switch broken, is := errors.AsType[*BrokenError](err); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!is || broken.File != path || !strings.HasPrefix(err.Error(), path+c.want)):
			t.Errorf("%s: %v, want %q", name, err, path+c.want)
		}
	}
}

func TestOpenRefusesWhatItCannotContinue(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	for text, want := range map[string]string{
		"garbage\n": "the last line cannot be continued: is not a record", "\n": "is not a record", "{}\n": "has no number",
		strings.Repeat("x", 2*MaxRecord) + "\n": "more than",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
		if left, _ := os.ReadFile(path); string(left) != text {
			t.Errorf("%.20q was changed to %.20q", text, left)
		}
	}
	if _, err := Open("/dev/full", Options{}); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Error(err)
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a folder was opened")
	}
}

// disk is a file whose disk fails as it is told.
type disk struct {
	*os.File

	full, sync, truncate bool // what fails
}

// Write of a full disk takes a half, as a real one does; the rest fails as /dev/full says it.
func (d *disk) Write(b []byte) (int, error) {
	if !d.full {
		return d.File.Write(b)
	}
	n, err := d.File.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return n, err
	}
	defer full.Close()
	more, err := full.Write(b[n:])
	return n + more, err
}

func (d *disk) Sync() error {
	if d.sync {
		return syscall.EIO
	}
	return d.File.Sync()
}

func (d *disk) Truncate(size int64) error {
	if d.truncate {
		return syscall.EROFS
	}
	return d.File.Truncate(size)
}

func TestADiskThatFailsRefusesChanges(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(d *disk)
		want error
	}{
		"full":                                {func(d *disk) { d.full = true }, syscall.ENOSPC},
		"cannot sync":                         {func(d *disk) { d.sync = true }, syscall.EIO},
		"full, and takes nothing back":        {func(d *disk) { d.full, d.truncate = true, true }, syscall.ENOSPC},
		"cannot sync, and takes nothing back": {func(d *disk) { d.sync, d.truncate = true, true }, syscall.EIO},
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		l := open(t, path, Options{})
		add(t, l, 2)
		d := &disk{File: l.store.(*files).f.(*os.File)}
		l.store.(*files).f = d

		c.fail(d)
		if err := l.Append(t.Context(), record(3)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err := l.Append(t.Context(), record(3)); err == nil {
			t.Errorf("%s: the second was kept", name)
		}
		since, cause := l.Failing()
		if v := l.View(); cause == nil || v.Failing != cause.Error() || !v.Since.Equal(since) || since.IsZero() || v.Seq != 2 {
			t.Errorf("%s: failing since %v: %v; %+v", name, since, cause, v)
		}
		if list, err := l.List(t.Context(), Filter{}); seqs(list) != "2 1" {
			t.Errorf("%s: lists %q, %v", name, seqs(list), err)
		}
		wantWhole(t, l, 1, 2)

		*d = disk{File: d.File}
		add(t, l, 1)
		if _, cause := l.Failing(); cause != nil {
			t.Errorf("%s: still %v", name, cause)
		}
		wantWhole(t, l, 1, 3)
		must(t, l.Close())
		wantWhole(t, open(t, path, Options{}), 1, 3)
	}
}

func TestAFileThatSomebodyElseTouchesRefusesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	add(t, l, 2)
	refused := func(when, want string) {
		t.Helper()
		if err := l.Append(t.Context(), record(1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", when, err, want)
		}
	}
	must(t, os.Rename(path, path+".away"))
	refused("moved away", "was moved away")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a new log was begun:", err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	refused("replaced", "another file stands in its place")
	must(t, os.Rename(path+".away", path))
	add(t, l, 1)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("{}\n")
	must(t, errors.Join(err, f.Close()))
	refused("written to", "somebody else has written to it")
}

func TestAFailingRotationRefusesChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := open(t, path, Options{MaxBytes: 300})
	add(t, l, 1)
	s := l.store.(*files)
	must(t, s.f.Close())
	must(t, os.Rename(path, path+".000001"))
	s.f = nil // as after a rename whose next file could not be made
	must(t, os.Mkdir(path, 0o700))
	if err := l.Append(t.Context(), record(1)); err == nil {
		t.Error("kept, where no file can be")
	}
	must(t, os.Remove(path))
	add(t, l, 1)
	wantWhole(t, l, 1, 2)
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(filepath.Join(b.TempDir(), "audit.log"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for i := 0; b.Loop(); i++ {
		if err := l.Append(b.Context(), record(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListOfAFullFile reads the last hundred of 64 MiB.
func BenchmarkListOfAFullFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "audit.log")
	one, err := format(Record{Seq: 1, At: time.Unix(0, 0).UTC(), Author: "ann", Action: "rules.apply", Reason: "because"}, "")
	if err != nil {
		b.Fatal(err)
	}
	text := bytes.Repeat(append(one, '\n'), 64<<20/(len(one)+1))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	l, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		if list, err := l.List(b.Context(), Filter{}); err != nil || len(list) != 100 {
			b.Fatal(len(list), err)
		}
	}
}
