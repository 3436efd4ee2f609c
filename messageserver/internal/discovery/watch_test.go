package discovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a file that is watched every second, and what was told of it.
type watched struct {
	// Static after construction.
	t    *testing.T
	dir  string
	path string

	// Guarded by mu.
	mu       sync.Mutex
	lists    []string // names of the members
	force    uint64   // the hash of the list in force
	refuses  error    // lists that differ from it
	problems []string
}

// watch runs a story with a file that has the members a and b, and that was seen.
func watch(t *testing.T, story func(w *watched)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, dir: dir, path: filepath.Join(dir, "members.yaml")}
		w.write("a", "b")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Watch(ctx, w.path, time.Second, w.inForce, w.take, w.failed)
		}()
		time.Sleep(500 * time.Millisecond) // between two looks
		w.wait(1)
		w.want("the first list", "a b")
		story(w)
		stop()
		<-ended
		w.want("the end", "")
		w.wantProblem("the end", "")
	})
}

func (w *watched) inForce() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.force
}

func (w *watched) take(l List) error {
	var names []string
	for _, m := range l {
		names = append(names, m.Node)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuses != nil {
		return w.refuses
	}
	w.lists = append(w.lists, strings.Join(names, " "))
	w.force = l.Hash()
	return nil
}

// set puts a list in force that is not from the file.
func (w *watched) set(refuses error, names ...string) {
	l, err := Parse([]byte(text(names...)))
	w.do(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.force, w.refuses = l.Hash(), refuses
}

func (w *watched) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, err.Error())
}

func text(names ...string) string {
	text := "members:\n"
	for i, name := range names {
		text += fmt.Sprintf("  - {node: %s, number: %d, address: '%s:7072'}\n", name, i, name)
	}
	return text
}

func (w *watched) write(names ...string) { put(w.t, w.path, text(names...)) }

// wait lets the file be read n times.
func (w *watched) wait(n int) {
	time.Sleep(time.Duration(n) * time.Second)
	synctest.Wait()
}

// want takes the lists that were told since the last time, joined by |.
func (w *watched) want(when, lists string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.lists, " | "); got != lists {
		w.t.Errorf("%s: told the lists %q, want %q", when, got, lists)
	}
	w.lists = nil
}

// wantProblem takes what was complained about since the last time: one problem with a text in it, or none for "".
func (w *watched) wantProblem(when, part string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case part == "" && len(w.problems) > 0:
		w.t.Errorf("%s: complained %q", when, w.problems)
	case part != "" && (len(w.problems) != 1 || !strings.Contains(w.problems[0], part)):
		w.t.Errorf("%s: complained %q, want once %q", when, w.problems, part)
	}
	w.problems = nil
}

func TestWatchTellsAChangeOnce(t *testing.T) {
	watch(t, func(w *watched) {
		w.wait(10)
		w.want("nothing changed", "")
		w.write("a", "b", "c")
		w.wait(1)
		w.want("seen once: there may be more to come", "")
		w.wait(1)
		w.want("seen twice", "a b c")
		w.wait(10)
		w.want("nothing changed", "")
		put(w.t, w.path, "# better explained\n"+text("a", "b", "c"))
		w.wait(3)
		w.want("the same members", "")
		w.write("a", "b")
		w.wait(2)
		w.want("back", "a b")
	})
}

// TestTheFileAndWhatIsInForceAgree: another list was put in force and written, and then the old file was put back, all between
// two looks.
func TestTheFileAndWhatIsInForceAgree(t *testing.T) {
	watch(t, func(w *watched) {
		w.set(nil, "a", "b", "c")
		w.wait(1)
		w.want("the file is as it was", "a b")
		w.wait(10)
		w.want("nothing changed", "")
	})
}

// TestAListThatIsNotTakenIsToldOnce: and it is taken as soon as it can be.
func TestAListThatIsNotTakenIsToldOnce(t *testing.T) {
	watch(t, func(w *watched) {
		w.set(errors.New("not now"), "a", "b", "c")
		w.wait(10)
		w.want("refused", "")
		w.wantProblem("refused", "not now")
		w.set(nil, "a", "b", "c")
		w.wait(1)
		w.want("taken", "a b")
		w.set(errors.New("not now"), "a")
		w.wait(10)
		w.wantProblem("it was good meanwhile", "not now")
	})
}

func TestWatchSeesEveryWayOfChanging(t *testing.T) {
	watch(t, func(w *watched) {
		put(w.t, w.path+".new", text("a", "b", "c"))
		w.do(os.Rename(w.path+".new", w.path))
		w.wait(2)
		w.want("renamed over", "a b c")

		w.do(Save(w.path, List{{"z", 0, "z:1"}}))
		w.wait(2)
		w.want("saved", "z")

		// As Kubernetes changes a mounted file: a link to a folder's link is turned.
		for _, folder := range []string{"1", "2"} {
			w.do(os.Mkdir(filepath.Join(w.dir, folder), 0o755))
		}
		put(w.t, filepath.Join(w.dir, "1", "members.yaml"), text("one"))
		put(w.t, filepath.Join(w.dir, "2", "members.yaml"), text("two"))
		w.do(os.Symlink("1", filepath.Join(w.dir, "data")))
		w.do(os.Symlink(filepath.Join("data", "members.yaml"), w.path+".link"))
		w.do(os.Rename(w.path+".link", w.path))
		w.wait(2)
		w.want("a link took its place", "one")
		w.do(os.Symlink("2", filepath.Join(w.dir, "data.new")))
		w.do(os.Rename(filepath.Join(w.dir, "data.new"), filepath.Join(w.dir, "data")))
		w.wait(2)
		w.want("the link was turned", "two")

		w.do(os.Chmod(filepath.Join(w.dir, "2", "members.yaml"), 0o600))
		w.wait(3)
		w.want("its mode changed", "")
	})
}

func (w *watched) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestWatchKeepsTheListWhileTheFileIsBad(t *testing.T) {
	watch(t, func(w *watched) {
		w.do(os.Remove(w.path))
		w.wait(10)
		w.wantProblem("removed", "no such file")
		put(w.t, w.path, "members:\n  - {node: a, number: 0, addr")
		w.wait(10)
		w.wantProblem("half written", w.path+":2:30: the last line does not end")
		w.do(os.Remove(w.path))
		w.wait(10)
		w.wantProblem("removed again, and never good meanwhile", "")
		put(w.t, w.path, "members:\n  - {node: a, number: 0, address: 'a:1'}\n  - {node: b, number: 0, address: 'b:1'}\n")
		w.wait(10)
		w.wantProblem("wrong", ":3:23: number: 0 stands twice")
		w.want("none of that", "")
		w.write("a", "b")
		w.wait(10)
		w.want("as before", "")
		w.do(os.Remove(w.path))
		w.wait(10)
		w.wantProblem("removed after it was good", "no such file")
		w.write("b")
		w.wait(2)
		w.want("it is back, with other members", "b")
	})
}

// TestWatchWaitsForTheRest: a writer that is slow is never taken at its half word.
func TestWatchWaitsForTheRest(t *testing.T) {
	watch(t, func(w *watched) {
		all := text("a", "b", "c", "d", "e")
		written := 0
		for line := range strings.Lines(all) {
			written += len(line)
			put(w.t, w.path, all[:written])
			w.wait(1)
			w.want("in the middle", "")
			w.wantProblem("in the middle", "")
		}
		w.wait(1)
		w.want("all of it", "a b c d e")
	})
}

func TestWatchStartsWithoutAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members.yaml")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var lists, problems atomic.Int32
		var force atomic.Uint64
		take := func(l List) error { lists.Add(1); force.Store(l.Hash()); return nil }
		go Watch(ctx, path, 0, force.Load, take, func(error) { problems.Add(1) })
		time.Sleep(10*DefaultEvery + DefaultEvery/2)
		synctest.Wait()
		if lists.Load() != 0 || problems.Load() != 1 {
			t.Errorf("%d lists and %d problems, want one problem", lists.Load(), problems.Load())
		}
		put(t, path, text("a"))
		time.Sleep(2 * DefaultEvery)
		synctest.Wait()
		if lists.Load() != 1 || problems.Load() != 1 {
			t.Errorf("%d lists and %d problems, want one of each", lists.Load(), problems.Load())
		}
		stop()
	})
}
