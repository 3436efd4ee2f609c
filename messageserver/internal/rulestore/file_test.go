package rulestore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watched returns a node that follows a file in a folder of its own.
func watched(t *testing.T, text string) (n *node, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, text)
	n = startNode(t, Options{Store: newBolt(t), File: path})
	n.wantMark(version(1))
	return n, path
}

func (n *node) wantText(text string) {
	n.t.Helper()
	n.want("the text "+text, func() bool { return string(n.Current().Text) == text })
}

func TestTheFileIsFollowed(t *testing.T) {
	n, path := watched(t, offs("Pay"))
	if e := n.Current(); e.Author != "file:"+path || e.Reason == "" || !n.off("Pay") {
		t.Errorf("current %v", e)
	}
	from := time.Now()
	write(t, path, offs("Ask"))
	n.wantText(offs("Ask"))
	if took := time.Since(from); took > time.Second {
		t.Errorf("a change took %v, must take less than a second", took)
	}
	write(t, path+".new", offs("Refund"))
	must(t, os.Rename(path+".new", path))
	n.wantText(offs("Refund"))
	must(t, os.Remove(path))
	n.wantTrouble(TroubleInvalidFile, path, "no such file or directory", "the rules stay what they are (version 1.3")
	write(t, path, offs("Refund", "Ask"))
	n.wantText(offs("Refund", "Ask"))
	n.wantNoTrouble(TroubleInvalidFile)
	// What cannot be read, for whoever the test runs as.
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	n.wantTrouble(TroubleInvalidFile, "it is not a file")
	must(t, os.Remove(path))
	write(t, path, offs("Refund", "Ask")) // what is in force
	n.wantNoTrouble(TroubleInvalidFile)
	if n.Current().Mark != version(4) || len(n.records) != 4 || n.records[3].Action != ActionFile {
		t.Errorf("it is %s after %d records", name(n.Current().Mark), len(n.records))
	}
}

// TestAFolderThatIsMadeAnew is found by reading: its events are another folder's.
func TestAFolderThatIsMadeAnew(t *testing.T) {
	n, path := watched(t, offs("Pay"))
	must(t, os.RemoveAll(filepath.Dir(path)))
	n.wantTrouble(TroubleInvalidFile, "no such file")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	write(t, path, offs("Ask"))
	n.wantText(offs("Ask"))
	write(t, path, offs("Refund"))
	n.wantText(offs("Refund"))
}

// TestALinkIsTurned as a mounted ConfigMap is: path → ..data/rules.yaml, and ..data → a folder of each version.
func TestALinkIsTurned(t *testing.T) {
	dir := t.TempDir()
	version1, version2 := filepath.Join(dir, "..1"), filepath.Join(dir, "..2")
	for folder, text := range map[string]string{version1: offs("Pay"), version2: offs("Ask")} {
		must(t, os.Mkdir(folder, 0o700))
		write(t, filepath.Join(folder, "rules.yaml"), text)
	}
	must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
	path := filepath.Join(dir, "rules.yaml")
	must(t, os.Symlink(filepath.Join("..data", "rules.yaml"), path))
	n := startNode(t, Options{Store: newBolt(t), File: path})
	n.wantText(offs("Pay"))
	must(t, os.Symlink("..2", filepath.Join(dir, "..new")))
	must(t, os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
	n.wantText(offs("Ask"))
	// What a link points to is written, in a folder that nobody watches.
	write(t, filepath.Join(version2, "rules.yaml"), offs("Refund"))
	n.wantText(offs("Refund"))
}

// TestAFileThatIsBeingWritten: ten bytes at a time, by somebody who is slow. Many of its beginnings are documents. A writer whom the
// machine has held up for about as long as a content must stay the same proves nothing, and writes again.
func TestAFileThatIsBeingWritten(t *testing.T) {
	whole := offs("Ask", "Refund", "Book", "Sell")
	for try := 1; ; try++ {
		n, path := watched(t, offs("Pay"))
		pause := writeSlowly(t, path, whole)
		n.wantText(whole)
		n.stop()
		if n.Current().Mark == version(2) {
			return
		}
		if pause < fileQuiet/2 || try == 10 {
			t.Fatalf("a part of it was in force: it is version %s, with pauses of at most %v", name(n.Current().Mark), pause)
		}
	}
}

// writeSlowly returns the longest pause between two pieces.
func writeSlowly(t *testing.T, path, text string) (longest time.Duration) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for text != "" {
		k := min(10, len(text))
		_, err := f.WriteString(text[:k])
		must(t, err)
		text = text[k:]
		longest, last = max(longest, time.Since(last)), time.Now()
		<-tick.C
	}
	return longest
}

func TestAFileThatIsWrongChangesNothing(t *testing.T) {
	n, path := watched(t, offs("Pay"))
	for _, c := range []struct{ text, cause string }{
		{"format: 1\nrules:\n  - id: x\n    module: m\n    of: {}\n", "line 5, column 5"},
		{offs("Ask") + "  - id: Bo", "line "}, // half of it
		{"", `it is empty; a document without rules is "format: 1"`},
		{" \n", "it is empty"},
		{"\xff", "not UTF-8"},
		{offs("Ask 2020-01-01T00:00:00Z"), "is in the past"},
	} {
		write(t, path, c.text)
		n.wantTrouble(TroubleInvalidFile, path, c.cause, "the rules stay what they are (version 1.1 by file:")
	}
	if n.Current().Mark != version(1) || !n.off("Pay") || len(n.records) != 1 {
		t.Errorf("something changed: %+v", n.Standing())
	}
	write(t, path, empty)
	n.wantText(empty)
	n.wantNoTrouble(TroubleInvalidFile)
}

// TestWhatIsAppliedLaterStays until the file changes, also over a restart of the keeper.
func TestWhatIsAppliedLaterStays(t *testing.T) {
	store, path := newBolt(t), filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, offs("Pay"))
	first := startNode(t, Options{Store: store, File: path})
	first.wantMark(version(1))
	if _, err := first.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Emergency")}, Author: "alice"}); err != nil {
		t.Fatal(err)
	}
	write(t, path, "nonsense")
	first.wantTrouble(TroubleInvalidFile)
	write(t, path, offs("Pay")) // as it was: no change
	first.wantNoTrouble(TroubleInvalidFile)
	if !first.off("Emergency") {
		t.Error("the switch is gone when the file is right again")
	}
	first.stop()

	second := startNode(t, Options{Store: store, File: path})
	second.wantMark(version(2))
	write(t, path, "nonsense")
	second.wantTrouble(TroubleInvalidFile)
	write(t, path, offs("Pay"))
	second.wantNoTrouble(TroubleInvalidFile)
	if !second.off("Emergency") || second.Current().Mark != version(2) {
		t.Errorf("the switch is gone after a restart: %+v", second.Standing())
	}
	// Somebody applies what he will then put into the file: the file has it, and a later switch stays over a restart, too.
	second.apply(offs("Pay", "Ask"))
	write(t, path, offs("Pay", "Ask"))
	second.wantMark(version(4))
	if _, err := second.Switch(t.Context(), Edit{Remove: []string{"Ask-off"}, Author: "alice"}); err != nil {
		t.Fatal(err)
	}
	second.stop()

	third := startNode(t, Options{Store: store, File: path})
	third.wantMark(version(5))
	write(t, path, "nonsense")
	third.wantTrouble(TroubleInvalidFile)
	write(t, path, offs("Pay", "Ask"))
	third.wantNoTrouble(TroubleInvalidFile)
	if third.off("Ask") {
		t.Error("the file was put in force again without a change")
	}
	third.stop()

	// A file that changes while the keeper is down has changed.
	write(t, path, offs("Refund"))
	fourth := startNode(t, Options{Store: store, File: path})
	fourth.wantText(offs("Refund"))
}

// TestAFileMayKeepWhatHasEnded: a switch has pruned it, and the file is changed somewhere else.
func TestAFileMayKeepWhatHasEnded(t *testing.T) {
	soon := "Pay " + in(time.Hour)
	n, path := watched(t, offs(soon))
	n.stop()
	store := n.o.Store
	later := newNode(t, Options{Store: store, File: path})
	must(t, later.Load(t.Context()))
	later.o.Calendar.Set(later.o.Now(), time.Now().Add(2*time.Hour).UnixNano())
	if _, err := later.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Book")}, Author: "alice"}); err != nil {
		t.Fatal(err)
	}
	f := follower{r: later.Rules}
	f.take(t.Context(), []byte(offs(soon, "Ask")), nil)
	if string(later.Current().Text) != offs(soon, "Ask") {
		t.Errorf("refused: %v", later.Troubles())
	}
	f.take(t.Context(), []byte(offs("Ask", "Book 2020-01-01T00:00:00Z")), nil)
	later.wantTrouble(TroubleInvalidFile, "Book")
}

func TestAFileWaitsForTheStore(t *testing.T) {
	store, path := &broken{Store: newBolt(t), err: errAway}, filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, offs("Pay"))
	n := startNode(t, Options{Store: store, File: path})
	n.wantTrouble(TroubleFileWaits, path+" has changed, and is not in force yet", "it is away")
	store.breakWith(nil)
	n.wantText(offs("Pay"))
	n.wantNoTrouble(TroubleFileWaits)

	n.mu.Lock()
	n.deaf = os.ErrDeadlineExceeded
	n.mu.Unlock()
	write(t, path, offs("Ask"))
	n.wantTrouble(TroubleFileWaits, "the change could not be recorded")
	if !strings.Contains(n.trouble(TroubleFileWaits), path) || n.off("Ask") {
		t.Errorf("%v", n.Troubles())
	}
	n.mu.Lock()
	n.deaf = nil
	n.mu.Unlock()
	n.wantText(offs("Ask"))
}

// TestTheFileIsPutOverOthersChanges: when it changes, it is the whole truth.
func TestTheFileIsPutOverOthersChanges(t *testing.T) {
	n, path := watched(t, offs("Pay"))
	other := newNode(t, Options{Store: n.o.Store})
	other.apply(offs("Book"))
	n.wantMark(version(2))
	write(t, path, offs("Ask"))
	n.wantText(offs("Ask"))
	if found, err := n.History(t.Context(), governance.Mark{}, 0); err != nil || len(found) != 3 || found[1].Author != "alice" {
		t.Errorf("history %v, %v", found, err)
	}
}
