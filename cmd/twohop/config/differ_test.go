package config

import (
	"slices"
	"strings"
	"testing"
)

// replaceFile puts the path of a configuration's file in the place of FILE.
func replaceFile(text string, c *Config) string {
	for _, p := range c.places {
		if p.source == inFile {
			return strings.ReplaceAll(text, "FILE", p.name)
		}
	}
	return text
}

func TestDiffer(t *testing.T) {
	load := func(text string) *Config {
		t.Helper()
		c, err := Load(Input{File: write(t, text, 0o600)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	secret := "auth: {mode: secret, modules: [{module: web, key_id: 1, secret: "
	for name, c := range map[string]struct {
		was, is string
		want    []string
	}{
		"the same, written otherwise": {"session: {dead: 12s}", "node: node-1", nil},
		"a time and a number": {
			"number: 1", "session: {dead: 20s}",
			[]string{"number is 1 here, and 0 in what was written (default)", "session.dead is 12s here, and 20s in what was written (FILE:1)"},
		},
		"a path that was empty": {
			"node: node-1", "rules: {watch_file: /r.yaml}", []string{`rules.watch_file is "" here, and "/r.yaml" in what was written (FILE:1)`},
		},
		"a list": {secret + "0123456789abcdef}]}", secret + "fedcba9876543210}]}", []string{"auth.modules is another list"}},
		"a secret": {
			"peers: {secret: 0123456789abcdef}", "peers: {secret: fedcba9876543210}", []string{"peers.secret is another one (FILE:1)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			was, is := load(c.was), load(c.is)
			var want []string
			for _, w := range c.want {
				want = append(want, replaceFile(w, is))
			}
			if got := was.Differ(is); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}
