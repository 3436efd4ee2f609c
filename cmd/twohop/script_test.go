package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run this binary as twohop, and as a module that it can call.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"twohop": main, "hello": hello})
}

// TestScripts runs testdata/script. Besides testscript's own commands there are:
//
//	ready FILE [PRE]    wait until FILE is there, then set NODE, LISTEN, ADMIN and PID from it, or PRE_NODE and so on
//	ports NAME...       set variables to ports that were free a moment ago
//	expand FROM TO      write a file with the variables in it filled in
//	until REGEXP COMMAND...  run a command again and again, until its stdout has a line of that form
//	match NAME REGEXP   set a variable to what the group of an expression has found in the last stdout
//	exits CODE COMMAND  run a command that ends with this exit code
//	signal NAME PID     send a signal: INT or TERM
//	chmod MODE FILE     change who may read a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready, "ports": ports, "expand": expand, "until": until, "exits": exits, "signal": send, "chmod": chmod, "match": match,
		},
	})
}

func ready(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 && len(args) != 2 {
		ts.Fatalf("usage: ready FILE [PREFIX]")
	}
	prefix := ""
	if len(args) == 2 {
		prefix = args[1] + "_"
	}
	file := ts.MkAbs(args[0])
	ts.Check(appears(file))
	text, err := os.ReadFile(file)
	ts.Check(err)
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	ts.Check(decoder.Decode(&fields))
	for name, value := range fields {
		ts.Setenv(prefix+strings.ToUpper(name), fmt.Sprint(value))
	}
}

func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // all at once, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

func expand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: expand FROM TO")
	}
	to := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(filepath.Dir(to), 0o700))
	ts.Check(os.WriteFile(to, []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// until has the test's own time as its bound. What the command printed before stands in the log when that is up.
func until(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND...")
	}
	wanted, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && wanted.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
}

func match(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: match NAME REGEXP")
	}
	wanted, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := wanted.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("there is no %s, or it has no group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// appears waits for a file; the test's own time is the bound.
func appears(file string) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(file)); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			return err
		}
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func send(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: signal NAME PID")
	}
	s, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[0]]
	if !ok {
		ts.Fatalf("signal %s is not known here", args[0])
	}
	pid, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, s))
}

func chmod(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: chmod MODE FILE")
	}
	mode, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[1]), os.FileMode(mode)))
}
