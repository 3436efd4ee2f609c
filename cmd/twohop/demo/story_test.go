package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// twohop returns the path of the real binary, built once for all tests. TestMain removes it.
var (
	binaries string
	twohop   = sync.OnceValues(func() (path string, err error) {
		if binaries, err = os.MkdirTemp("", "twohop-demo-test-"); err != nil {
			return "", err
		}
		path = filepath.Join(binaries, "twohop")
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "..").CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		return path, nil
	})
)

// run is one run of `twohop demo` as a process of its own.
type run struct {
	t           *testing.T
	cmd         *exec.Cmd
	temp        string // where it has what it keeps while it runs
	out, errors bytes.Buffer
}

func demo(t *testing.T, args ...string) *run {
	t.Helper()
	path, err := twohop()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, temp: t.TempDir()}
	r.cmd = exec.CommandContext(t.Context(), path, append([]string{"demo"}, args...)...)
	r.cmd.Env = append(os.Environ(), "TMPDIR="+r.temp)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errors
	return r
}

// wantEnd waits for the end, and looks that nothing is left.
func (r *run) wantEnd(code int) {
	r.t.Helper()
	err := r.cmd.Run()
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.t.Fatalf("exit code %d (%v), want %d\n%s%s", got, err, code, r.out.String(), r.errors.String())
	}
	left, err := os.ReadDir(r.temp)
	if err != nil || len(left) > 0 {
		r.t.Errorf("left behind in TMPDIR: %v %v", left, err)
	}
	r.wantNobody()
}

// wantNobody looks for processes whose command line has the run's directory.
func (r *run) wantNobody() {
	r.t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range lines {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(r.temp)) {
			r.t.Errorf("a process is left: %s", bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
		}
	}
}

// result returns what the run printed, which must be one JSON object, and looks that it adds up.
func (r *run) result() result {
	r.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(r.out.Bytes()))
	decoder.DisallowUnknownFields()
	var got result
	if err := decoder.Decode(&got); err != nil {
		r.t.Fatalf("stdout is no result: %v\n%s", err, r.out.String())
	}
	if _, err := decoder.Token(); err != io.EOF {
		r.t.Errorf("stdout has more than one object:\n%s", r.out.String())
	}
	if sum := got.OK + got.NotExecuted + got.ExecutedError + got.Unknown; sum != got.Calls || got.Calls == 0 {
		r.t.Errorf("the classes add up to %d, and there were %d calls", sum, got.Calls)
	}
	if got.Lies != 0 || got.Failed != "" {
		r.t.Errorf("%d lies, failed: %q\n%s", got.Lies, got.Failed, r.errors.String())
	}
	if got.P50 == 0 || got.P99 < got.P50 {
		r.t.Errorf("p50 is %d µs, p99 %d µs", got.P50, got.P99)
	}
	return got
}

func TestDemoForAWhile(t *testing.T) {
	r := demo(t, "--for", "2s", "--json")
	r.wantEnd(0)
	got := r.result()
	if got.NotExecuted != 0 || got.Unknown != 0 || got.Kills != 0 {
		t.Errorf("without chaos: %+v", got)
	}
	// Each caller is at a node where one instance of fishtrade is, and one is not.
	if got.OneHop+got.TwoHop != got.Calls || got.OneHop < got.Calls/4 || got.TwoHop < got.Calls/4 {
		t.Errorf("%d calls of one hop and %d of two, want about half of %d each", got.OneHop, got.TwoHop, got.Calls)
	}
	if got.ExecutedError == 0 || got.Moved != got.OK || got.RankCalls != got.OK || got.RankUnknown != 0 {
		t.Errorf("gifts above the limit move nothing, all others do: %+v", got)
	}
}

func TestDemoWithChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take their time")
	}
	r := demo(t, "--for", "5s", "--json", "--chaos", "--seed", "7")
	r.wantEnd(0)
	got := r.result()
	if got.NodeKills == 0 || got.Kills == got.NodeKills || got.Seed != 7 {
		t.Errorf("%d kills, %d of them of nodes, with seed %d, want some of both with seed 7", got.Kills, got.NodeKills, got.Seed)
	}
	if got.OneHop == 0 || got.TwoHop == 0 {
		t.Errorf("%d calls of one hop and %d of two, want some of both", got.OneHop, got.TwoHop)
	}
	t.Logf("%+v", got)
}

func TestDemoOnceThroughTheSample(t *testing.T) {
	r := demo(t, "--once", "--rate", "0", "--json")
	r.wantEnd(0)
	if got := r.result(); got.Calls != giftCount || got.BadLines != 0 {
		t.Errorf("%d calls and %d bad lines, want the %d of the sample", got.Calls, got.BadLines, giftCount)
	}
}

func TestDemoFromStdin(t *testing.T) {
	r := demo(t, "--input", "-")
	r.cmd.Stdin = strings.NewReader(one("a") + "\nhello\n" + strings.Replace(one("b"), ":5", ":10001", 1))
	r.wantEnd(0)
	wantLines(t, r.out.String(),
		"ledger: 1 moves, 0 lies",
		"            1 were told OK: each started once and moved once",
		"            1 were told EXECUTED, above the limit: each started once, nothing moved",
		"1 lines of the input were no gift and were skipped")
	if !strings.Contains(r.errors.String(), "stdin, line 2 is skipped: it is not one JSON object") {
		t.Errorf("stderr has:\n%s", r.errors.String())
	}
}

func TestDemoSaysWhatIsWrongBeforeAnythingStarts(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--input none.jsonl", "no such file"},
		{"--input -", "stdin is empty"},
		{"--rate -1", "--rate is -1, must be 0 (as fast as it goes) or more"},
		{"--in-flight 0", "--in-flight is 0, must be 1 to 512"},
		{"--for -1s", "--for is -1s, must be positive"},
	} {
		r := demo(t, append(strings.Fields(c.args), "--json")...)
		r.wantEnd(1)
		var said struct {
			Error string `json:"error"`
		}
		err := json.Unmarshal(r.out.Bytes(), &said)
		if err != nil || !strings.Contains(said.Error, c.want) || !strings.Contains(r.errors.String(), c.want) {
			t.Errorf("%s: stdout %q, stderr %q, want %q", c.args, r.out.String(), r.errors.String(), c.want)
		}
	}
}

// TestDemoEndsWithASignal interrupts it as soon as it says that there are calls.
func TestDemoEndsWithASignal(t *testing.T) {
	r := demo(t, "--for", "1h")
	out := &trigger{on: "calls=", pull: func() { _ = r.cmd.Process.Signal(os.Interrupt) }}
	r.cmd.Stdout = out
	r.wantEnd(0)
	if !strings.Contains(out.seen.String(), " moves, 0 lies") {
		t.Errorf("no verdict:\n%s", out.seen.String())
	}
}

// TestDemoEndsWithASignalInChaos interrupts it when a node was just killed.
func TestDemoEndsWithASignalInChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("TestDemoEndsWithASignal has the same without kills")
	}
	r := demo(t, "--for", "1h", "--chaos")
	out := &trigger{on: "node-", pull: func() { _ = r.cmd.Process.Signal(os.Interrupt) }}
	r.cmd.Stdout = out
	r.wantEnd(0)
	if text := out.seen.String(); !strings.Contains(text, " moves, 0 lies") || !strings.Contains(text, "\nchaos killed ") {
		t.Errorf("no verdict:\n%s", text)
	}
}

// TestAProcessThatDiesFailsTheDemo kills a caller, an instance and a node, each in a demo of its own.
func TestAProcessThatDiesFailsTheDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("TestFamilyReportsWhoDies has the same in small")
	}
	program, err := twohop()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-2", "rank-1", "node-1"} {
		t.Run(name, func(t *testing.T) {
			var errors bytes.Buffer
			s := &story{books: newBooks(), fail: make(chan error, 1), directory: t.TempDir()}
			if s.family, err = newFamily(s.directory); err != nil {
				t.Fatal(err)
			}
			defer s.family.close()
			s.family.program = program
			out := &trigger{on: "calls=", pull: func() { s.family.murder(name) }}
			s.opts = Options{For: time.Hour, Rate: 500, InFlight: 4, Out: out, Errors: &errors}
			s.screen = &screen{out: out, errors: &errors}
			if s.in, err = openInput("", nil, s.screen.warnf); err != nil {
				t.Fatal(err)
			}
			defer s.in.close()
			err := s.tell(t.Context())
			if err == nil || strings.Count(err.Error(), name+" (pid ") != 1 || !strings.Contains(err.Error(), "died: signal: killed") {
				t.Errorf("got %v, want once that %s died", err, name)
			}
			if !strings.Contains(out.seen.String(), " moves, 0 lies") {
				t.Errorf("no verdict:\n%s", out.seen.String())
			}
			if len(s.family.living) > 0 {
				t.Errorf("left: %v", s.family.living)
			}
		})
	}
}

// trigger is a writer that does something when it first sees a word.
type trigger struct {
	on     string
	pull   func()
	pulled bool
	seen   bytes.Buffer
}

func (w *trigger) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if !w.pulled && strings.Contains(w.seen.String(), w.on) {
		w.pulled = true
		w.pull()
	}
	return len(p), nil
}

// murder kills a process without telling the family.
func (f *family) murder(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.living {
		if p.name == name {
			_ = p.cmd.Process.Kill()
		}
	}
}
