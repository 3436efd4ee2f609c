package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, "node: file\nmesh: file\nsession:\n  dead: 13s\n  max_in_flight: 7\n", 0o644)
	c, err := Load(Input{
		File:  file,
		Env:   []string{"TWOHOP_MESH=env", "TWOHOP_SESSION_DEAD=14s", "PATH=/bin", "TWOHOPPER=1"},
		Flags: []Flag{{"set", "session.dead", "15s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Options.Node != "file" || c.Options.Mesh != "env" || c.Options.Session.Dead != 15*time.Second || c.Options.Session.MaxInFlight != 7 {
		t.Errorf("got %+v", c.Options)
	}
	for key, want := range map[string]string{
		"node": file + ":1", "mesh": "TWOHOP_MESH", "session.dead": "--set", "session.max_in_flight": file + ":5", "number": "default",
	} {
		if got := c.Origin(key).String(); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
}

// TestEveryKeyCanBeSet: a key whose type no source can read would be found here, and one whose variable is another's.
func TestEveryKeyCanBeSet(t *testing.T) {
	seen := make(map[string]string)
	for _, k := range keys {
		v := variable(k.name)
		if other := seen[v]; other != "" {
			t.Errorf("%s is the variable of %s and of %s", v, other, k.name)
		}
		seen[v] = k.name
		if foreign.MatchString(v) {
			t.Errorf("%s is taken for one of Kubernetes'", v)
		}
		text := "9"
		if k.typ == durationType {
			text = "9s"
		}
		value := reflect.New(optionsType).Elem()
		if err := assign(value.FieldByIndex(k.index), k.name, text); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		if value.FieldByIndex(k.index).IsZero() {
			t.Errorf("%s was read and is not set", k.name)
		}
	}
}

func TestAllProblemsAtOnceEachWithItsPlace(t *testing.T) {
	file := write(t, `node: "a b"
listne: 127.0.0.1:1
session:
  dead: soon
  heartbeat:
  max_inflight: 5
  dead: 3s
calls: 7
auth:
  mode: secret
  modules:
    - module: web
      secert: x
    - secret: short
      secret_env: ALSO
drain_timeout: 0s
max_pending: 3
advertise: :7070
`, 0o600)
	_, err := Load(Input{
		File: file,
		Env:  []string{"TWOHOP_SESION_DEAD=1s", "TWOHOP_NUMBER=twelve", "TWOHOP_AUTH_MODULES=x", "TWOHOP_SERVICE_HOST=10.0.0.1", "TWOHOP_PORT_7070_TCP_ADDR=10.0.0.1"},
		Flags: []Flag{
			{"set", "session.logins_per_second", "0"}, {"set", "calls.retry_percents", "3"}, {"set", "auth", "x"},
			{"listen", "listen", "nowhere"},
		},
	})
	want := strings.ReplaceAll(`F:1:1: node: "a b" is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _
F:2:1: listne: is not a key; listen is
F:4:9: session.dead: is "soon", must be a time with its unit, as 500ms, 10s or 2m
F:5:13: session.heartbeat: has no value: give it one, or leave the key out for its default
F:6:3: session.max_inflight: is not a key; session.max_in_flight is
F:7:3: session.dead: stands twice: first in line 4
F:8:8: calls: must be a section: keys with values, each on a line of its own
F:12:7: auth.modules[0].secret: has 0 bytes, must have at least 16
F:13:7: auth.modules[0].secert: is not a key; auth.modules[0].secret is
F:14:7: auth.modules[1].module: "" is not a module's name
F:15:19: auth.modules[1].secret_env: one of secret, secret_file and secret_env is enough: which is meant?
F:16:1: drain_timeout: 0s stands for the default, which is 10s: leave the key out
F:17:1: max_pending: is not a key; session.max_pending_per_address is
F:18:1: advertise: ":7070" is not an address that modules can dial: host:port or unix:/path
TWOHOP_AUTH_MODULES: auth.modules is a list: lists stand in the file, with secret_env for their secrets
TWOHOP_NUMBER: number: is "twelve", must be a whole number
TWOHOP_SESION_DEAD: is not a variable of twohop; TWOHOP_SESSION_DEAD is
--listen: listen: "nowhere" is not host:port or unix:/path
--set: calls.retry_percents: is not a key with a single value; calls.retry_percent is
--set: auth: is not a key with a single value
--set: session.logins_per_second: 0 stands for the default, which is 500: leave the key out`, "F:", file+":")
	got := "nothing"
	if err != nil {
		got = err.Error()
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"tab", "node: x\n\tmesh: y\n", ":2:1: not YAML: found a tab character that violates indentation"},
		{"list", "- node\n", ":1:1: must be a section: keys with values, each on a line of its own"},
		{"two documents", "node: x\n---\nnode: y\n", ":2:1: a second document begins: a configuration is one document"},
		{"value is a list", "node: [x]\n", ":1:7: node: must be a single value"},
		{"modules is no list", "auth: {mode: none, modules: x}\n", ":1:29: auth.modules: must be a list: lines that begin with -"},
		{"no bytes", "session: {max_in_flight: 4KiB}", `:1:26: session.max_in_flight: is "4KiB", must be a whole number`},
		{"bytes", "calls: {max_kept_bytes: 4kb}", `:1:25: calls.max_kept_bytes: is "4kb", must be a number of bytes, as 65536, 64KiB, 4MiB or 1GiB`},
		{"huge", "calls: {max_kept_bytes: 9223372036854775807KiB}", ":1:25: calls.max_kept_bytes: is \"9223372036854775807KiB\", which is too large"},
		{"key id", "auth: {mode: secret, modules: [{module: web, key_id: -1, secret: 0123456789abcdef}]}",
			`:1:54: auth.modules[0].key_id: is "-1", must be 0 to 4294967295`},
		{"itself", "auth: {mode: secret, modules: &m [{module: *m, secret: 0123456789abcdef}]}", ":1:31: auth.modules[0].module: must be a single value"},
		{"too long", "# " + strings.Repeat("x", maxFile), ": it has more than 1048576 bytes"},
		{"merge", "x: &x {dead: 1s}\nsession: {<<: *x}\n", ":1:1: x: is not a key; here are: node, number, mesh, listen, advertise, data_dir, keeper, drain_timeout, admin, auth, session, calls, peers, redis, rules, stats, alarms\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.text, 0o600)
			_, err := Load(Input{File: file})
			if got := fmt.Sprint(err); !strings.HasPrefix(got, file+test.want) {
				t.Errorf("got  %s\nwant %s", got, file+test.want)
			}
		})
	}
	if _, err := Load(Input{File: "nowhere.yaml"}); err == nil || err.Error() != "nowhere.yaml: no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestAliasesAreBounded: a small file cannot make much of itself.
func TestAliasesAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("auth:\n  mode: secret\n  modules:\n")
	text.WriteString("    - &m {module: web, key_id: 1, secret: 0123456789abcdef}\n")
	for range maxNodes / 2 {
		text.WriteString("    - *m\n")
	}
	file := write(t, text.String(), 0o600)
	_, err := Load(Input{File: file})
	if err == nil || !strings.Contains(err.Error(), "too much: aliases or nesting without end?") {
		t.Errorf("got %.300v", err)
	}
}

func TestSecretsComeFromWhereOthersCannotRead(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	put("good", "0123456789abcdef\n", 0o640)
	put("open", "0123456789abcdef\n", 0o644)
	put("empty", "\n", 0o600)
	modules := func(lines string) string {
		return "auth:\n  mode: secret\n  modules:\n    - module: web\n      " + lines + "\n"
	}
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		want       string // of the error; empty: it loads
	}{
		{"file", modules("secret_file: good"), 0o644, ""},
		{"variable", modules("secret_env: TWOHOP_WEB"), 0o644, ""},
		{"inline", modules("secret: 0123456789abcdef"), 0o600, ""},
		{"inline in an open file", modules("secret: 0123456789abcdef"), 0o644, "c.yaml:5:15: auth.modules[0].secret: a secret in a file that everybody can read: chmod o= c.yaml, or use secret_file or secret_env"},
		{"open file", modules("secret_file: open"), 0o644, "c.yaml:5:20: auth.modules[0].secret_file: open: everybody can read it (mode 0644): chmod o= open"},
		{"empty file", modules("secret_file: empty"), 0o644, "c.yaml:5:20: auth.modules[0].secret_file: empty: is empty"},
		{"no file", modules("secret_file: none"), 0o644, "c.yaml:5:20: auth.modules[0].secret_file: none: no such file or directory"},
		{"no variable", modules("secret_env: NONE"), 0o644, "c.yaml:5:19: auth.modules[0].secret_env: the variable NONE is not set"},
		{"two ways", modules("secret_file: good\n      secret_env: TWOHOP_WEB"), 0o644, "c.yaml:6:19: auth.modules[0].secret_env: one of secret, secret_file and secret_env is enough: which is meant?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			put("c.yaml", test.text, test.mode)
			c, err := Load(Input{File: filepath.Join(folder, "c.yaml"), Env: []string{"TWOHOP_WEB=0123456789abcdef"}[:min(1, strings.Count(test.text, "TWOHOP_WEB"))]})
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), folder+"/", "")
			} else if secret := string(c.Options.Auth.Modules[0].Secret); secret != "0123456789abcdef" {
				t.Errorf("the secret is %q", secret)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"max_in_flihgt", "session.max_in_flight"},
		{"session.heartbeats", "session.heartbeat"},
		{"listen_address", ""},
		{"nod", "node"},
		{"xyz", ""},
	} {
		if got := nearest(test.name, Names()); got != test.want {
			t.Errorf("nearest to %s is %q, want %q", test.name, got, test.want)
		}
	}
}
