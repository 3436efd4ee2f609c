package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// Operators keep the rules in a file, which is damaged in every way: what was in force stays, and an alarm says why.
func aFileOfRulesIsDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	g := governWith(t, false, func(o *messageserver.Options) {
		if o.Keeper = "a"; o.Node == "a" {
			o.Rules.WatchFile = path
		}
	}, abc...)
	g.serveAt("pay", "pay-1", echo, "b")
	f := &ruleFile{g: g, path: path, web: g.clientAt("web", "c"), kim: g.operatorAt("kim", "a")}
	write := func(text string) {
		t.Helper()
		f.must(os.WriteFile(path, []byte(text), 0o600))
	}

	write(f.good())
	f.wantInForce()

	for _, damage := range []struct {
		name string
		do   func()
		why  string
	}{
		{"truncated", func() { text := f.good(); write(text[:len(text)-40]) }, ""},
		{"empty", func() { write("") }, "empty"},
		{"invalid", func() { write(strings.Replace(f.good(), "off:", "of:", 1)) }, "of"},
		{"gone", func() { f.must(os.Remove(path)) }, "no such file"},
		{"a folder", func() {
			f.must(os.Remove(path))
			f.must(os.Mkdir(path, 0o700))
		}, "not a file"},
		{"a link to nowhere", func() {
			f.must(os.Remove(path))
			f.must(os.Symlink(filepath.Join(dir, "nowhere"), path))
		}, "no such file"},
	} {
		damage.do()
		f.wantRefused(damage.name, damage.why)
		f.must(os.RemoveAll(path))
		write(f.next())
		f.wantInForce()
	}
	alarmed := f.kim.alarms("rules_invalid_file") // it lasts 5 s longer than the last damage
	if len(alarmed) != 1 || alarmed[0].Subject != path {
		t.Errorf("alarms of the file: %+v", alarmed)
	}

	// Whole files take each other's place: one is renamed over it, then it is a link, then the link goes elsewhere.
	other := func(name string) string {
		at := filepath.Join(dir, name)
		f.must(os.WriteFile(at, []byte(f.next()), 0o600))
		return at
	}
	link := func(to string) {
		f.must(os.Symlink(to, path+".new"))
		f.must(os.Rename(path+".new", path))
	}
	f.must(os.Rename(other("renamed"), path))
	f.wantInForce()
	link(other("one"))
	f.wantInForce()
	link(other("two"))
	f.wantInForce()
	f.must(os.RemoveAll(path))

	// A writer that needs its time: 10 bytes, and again 10 bytes. No part of it is ever a version.
	before := f.kim.rules().Mark
	text := f.next()
	file, err := os.Create(path)
	f.must(err)
	defer file.Close()
	for at := 0; at < len(text); at += 10 {
		_, err := file.WriteString(text[at:min(at+10, len(text))])
		f.must(err)
		if at == len(text)/20*10 {
			f.wantRefused("half of it is written", "")
		}
	}
	f.wantInForce()
	if now := f.kim.rules().Mark; now.Version != before.Version+1 {
		t.Errorf("a file that was written in parts took the rules from %v to %v, want one version", before, now)
	}
	f.kim.wantNoAlarm("rules_invalid_file")
}

// ruleFile is the file, and what is in force of it.
type ruleFile struct {
	g    *governed
	path string
	web  *caller
	kim  *operator
	last int
}

func (f *ruleFile) must(err error) {
	f.g.t.Helper()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.g.t.Fatal(err)
	}
}

// good is the newest right document.
func (f *ruleFile) good() string {
	return "# " + strings.Repeat("written by hand ", 10) + "\nformat: 1\nrules:\n" +
		"  - id: \"" + f.name() + "\"\n    module: pay\n    caller: web\n    off: {fallback: \"by the file\", fallback_type: text/plain}\n"
}

func (f *ruleFile) name() string { return "off-" + strings.Repeat("i", f.last) }

// next is another right document.
func (f *ruleFile) next() string {
	f.last++
	return f.good()
}

// wantInForce waits until the file is in force at all nodes.
func (f *ruleFile) wantInForce() {
	f.g.t.Helper()
	for _, node := range abc {
		at := f.g.operatorAt("lee", node)
		f.g.within(3*time.Second, "node "+node+" has the rules of the file", func() bool { return at.rules().Text == f.good() })
	}
	f.g.within(soon, "the file is no trouble", func() bool { return f.kim.trouble("rules_invalid_file") == "" })
	f.web.wantRefused("pay.Do", rpcclient.CodeDegraded, f.name(), f.kim.rules().Mark.Version)
}

// wantRefused waits until the file is a trouble, and wants what was in force to stay.
func (f *ruleFile) wantRefused(what, why string) {
	f.g.t.Helper()
	v := f.g.operatorAt("lee", "c").rules()
	var cause string
	f.g.within(3*time.Second, "the file is a trouble: "+what, func() bool {
		cause = f.kim.trouble("rules_invalid_file")
		return cause != ""
	})
	if !strings.Contains(cause, why) || !strings.Contains(cause, f.path) {
		f.g.t.Errorf("%s: the trouble says %q, want %q and the path", what, cause, why)
	}
	found := f.kim.wantAlarm("rules_invalid_file", f.path)
	if len(found.Reporters) != 1 || found.Reporters[0] != "a" {
		f.g.t.Errorf("%s: the alarm is %+v, want the keeper to report it", what, found)
	}
	e := f.web.wantRefused("pay.Do", rpcclient.CodeDegraded, f.web.ruleOf("pay.Do"), v.Mark.Version)
	if string(e.Fallback) != "by the file" {
		f.g.t.Errorf("%s: the fallback is %q", what, e.Fallback)
	}
	for _, node := range abc {
		if now := f.g.operatorAt("lee", node).rules().Mark; now != v.Mark {
			f.g.t.Errorf("%s: node %s has the rules %v, want %v", what, node, now, v.Mark)
		}
	}
}

// ruleOf returns the rule that refuses a call.
func (a *caller) ruleOf(method string) string {
	a.m.t.Helper()
	err := a.tries(method)
	e := rpcclient.AsError(err)
	if e == nil {
		a.m.t.Fatalf("%s calls %s: %v, want a rule to refuse it", a.name, method, err)
	}
	return e.RuleID
}
