package demo

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets tests start this binary as a process of a family.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "act" {
		os.Exit(act(os.Args[2], os.Args[len(os.Args)-1]))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binaries)
		os.Exit(code)
	}))
}

// act is what the processes of these tests do.
func act(what, readyFile string) int {
	signals := make(chan os.Signal, 1)
	if what == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(signals, syscall.SIGTERM)
	}
	if what == "die" {
		for n := range 7 {
			fmt.Fprintln(os.Stderr, "word", n)
		}
		return 3
	}
	if err := writeReady(readyFile); err != nil {
		return 4
	}
	<-signals
	if what == "grumble" {
		fmt.Fprintln(os.Stderr, "no")
		return 5
	}
	return 0
}

func testFamily(t *testing.T) *family {
	t.Helper()
	f, err := newFamily(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

func (f *family) mustStart(t *testing.T, what string) *process {
	t.Helper()
	p, err := f.start(what+"-1", "act", what)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFamilyEndsInOrder(t *testing.T) {
	f := testFamily(t)
	polite, grumbling, deaf := f.mustStart(t, "polite"), f.mustStart(t, "grumble"), f.mustStart(t, "deaf")
	for _, p := range []*process{polite, grumbling, deaf} {
		if _, err := p.waitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.end(time.Minute, polite); err != nil {
		t.Errorf("polite: %v", err)
	}
	if err := f.end(time.Minute, grumbling); err == nil || !strings.Contains(err.Error(), "died: exit status 5\n  no") {
		t.Errorf("grumbling: %v", err)
	}
	if err := f.end(time.Millisecond, deaf); err == nil || !strings.Contains(err.Error(), "did not end within 1ms and was killed") {
		t.Errorf("deaf: %v", err)
	}
	if len(f.living) > 0 || f.deaths() != nil {
		t.Errorf("living: %v, unexpected deaths: %v", f.living, f.deaths())
	}
}

func TestFamilyReportsWhoDies(t *testing.T) {
	f := testFamily(t)
	p := f.mustStart(t, "die")
	want := "die-1 (pid " + fmt.Sprint(p.cmd.Process.Pid) + ") died: exit status 3\n  word 2\n  word 3\n  word 4\n  word 5\n  word 6"
	if _, err := p.waitReady(t.Context()); err == nil || err.Error() != want {
		t.Errorf("waitReady: %v, want %s", err, want)
	}
	<-f.lost
	if err := f.deaths(); err == nil || err.Error() != want {
		t.Errorf("deaths: %v, want %s", err, want)
	}
	if err := f.end(time.Minute, p); err != nil {
		t.Errorf("it is reported twice: %v", err)
	}
}

func TestFamilyKillsWhoIsLeft(t *testing.T) {
	f := testFamily(t)
	deaf := f.mustStart(t, "deaf")
	if _, err := deaf.waitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.close()
	select {
	case <-deaf.ended:
	default:
		t.Error("it runs after close")
	}
	if _, err := f.start("late-1", "act", "polite"); err == nil {
		t.Error("a closed family starts processes")
	}
	if f.deaths() != nil {
		t.Errorf("what close kills is reported: %v", f.deaths())
	}
}

func TestEnvironmentLeavesOptionsOfNodesOut(t *testing.T) {
	got := strings.Join(environment([]string{"A=1", "TWOHOP_LISTEN=0.0.0.0:1", "B_TWOHOP_=2"}), " ")
	if got != "A=1 B_TWOHOP_=2" {
		t.Errorf("got %s", got)
	}
}
