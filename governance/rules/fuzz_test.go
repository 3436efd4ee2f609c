package rules

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// FuzzParse: nothing panics, a text that is taken survives each edit, and a document that is taken compiles.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "format: 1\nrules: []\n", rule("off: {}"), rule("module: m\nmethod: M\nrate: {per_second: 1, each: caller}"), edited,
		`{"format":1,"rules":[{"id":"a","late":{"do":"run"}}]}`, "format: 1\nrules:\n- id: a\n  note: |\n    # x\n    - id: b\n  off: {}\n",
		"format: 1\r\nrules:\r\n- id: a\r\n  off: {}\r\n", "rules:\n- id: \"a\n# b\n- id: c\n\"\nformat: 1", "\ufeffformat: 1\nrules: []", "a: &x *x", "? ? ?\n: :", "---\nformat: 1\n...\n",
		"%YAML 1.1\n---\nformat: 1\nrules: []\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if (d == nil) != (err != nil) {
			t.Fatalf("%v and %v", d, err)
		}
		if err != nil {
			_ = err.Error()
			return
		}
		inserted, err := Insert(text, Rule{ID: "inserted", Off: &Off{}})
		if err != nil {
			t.Fatalf("insert: %v", err)
		}
		after, err := Parse(inserted)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range Diff(d, after) {
			if c.ID != "inserted" {
				t.Errorf("an insert has changed something else: %v", c)
			}
		}
		for _, r := range d.Rules {
			removed, err := Remove(text, r.ID)
			if err != nil {
				t.Fatalf("remove: %v", err)
			}
			after, err := Parse(removed)
			if err != nil {
				t.Fatal(err)
			}
			if c := Diff(d, after); len(c) != 1 || c[0].ID != r.ID {
				t.Errorf("the removal of %s has changed something else: %v", r.ID, c)
			}
		}
		_, _, _ = PruneEnded(text, time.Unix(1e9, 0))
		s := Compile(d, Options{})
		s.Regime(governance.Subject{Caller: "web", Module: "m", Method: "M"})
		s.Restrictions("m", 0)
		_ = s.Explain(0, &governance.Call{Module: "m", Method: "M"}).String()
	})
}
