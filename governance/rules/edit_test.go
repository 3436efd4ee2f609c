package rules

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const edited = `# Rules of the house.
format: 1
rules:   # in no order

  # About a,
  # in two lines.
  - id: a
    off: {}   # all

  # --- the second half ---

  - id: b
    module: pay
    timeout:
      # short
      max: 1s
  # About c.
  - {id: c, off: {share: 5}}

# The end.
`

func wantText(t *testing.T, got []byte, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveLeavesTheRest(t *testing.T) {
	a := "  # About a,\n  # in two lines.\n  - id: a\n    off: {}   # all\n\n"
	b := "  - id: b\n    module: pay\n    timeout:\n      # short\n      max: 1s\n"
	c := "  # About c.\n  - {id: c, off: {share: 5}}\n"
	for _, r := range []struct {
		ids  []string
		want string
	}{
		{nil, edited},
		{[]string{"a"}, strings.Replace(edited, a, "", 1)},
		{[]string{"b"}, strings.Replace(edited, b, "", 1)},
		{[]string{"c", "c"}, strings.Replace(edited, c, "", 1)},
		{[]string{"c", "a"}, strings.NewReplacer(a, "", c, "").Replace(edited)},
		{[]string{"a", "b", "c"}, "# Rules of the house.\nformat: 1\nrules: []   # in no order\n\n  # --- the second half ---\n\n# The end.\n"},
	} {
		got, err := Remove([]byte(edited), r.ids...)
		wantText(t, got, err, r.want)
	}
}

func TestCommentsOfAnotherIndentAreNotTheRules(t *testing.T) {
	text := "format: 1\nrules:\n  - id: a\n    off: {}\n    # of a\n  # of b\n  # too\n  - id: b\n    off: {}\n# of no rule\n"
	got, err := Remove([]byte(text), "b")
	wantText(t, got, err, "format: 1\nrules:\n  - id: a\n    off: {}\n    # of a\n# of no rule\n")
	text = "format: 1\nrules:\n  - id: a\n    off: {}\n    # of a\n  - id: b\n    off: {}\n"
	got, err = Remove([]byte(text), "b")
	wantText(t, got, err, "format: 1\nrules:\n  - id: a\n    off: {}\n    # of a\n")
}

func TestRemoveOfWhatIsNotThere(t *testing.T) {
	text, err := Remove([]byte(rule("off: {}")+"  - id: rocket\n    off: {}\n"), "r", "rokcet")
	if text != nil || err == nil || err.Error() != `rules: there is no rule "rokcet"; did you mean rocket?` {
		t.Errorf("%s, %v", text, err)
	}
	if _, err = Remove([]byte("format: 2\n"), "r"); err == nil {
		t.Error("a text that is none is edited")
	}
}

func TestInsert(t *testing.T) {
	limit := Rule{ID: "limit", Scope: Scope{Module: "pay"}, Rate: &Rate{PerSecond: 5}, Note: "yes: \"quoted\"\n# two lines"}
	lines := "  - id: limit\n    module: pay\n    note: \"yes: \\\"quoted\\\"\\n# two lines\"\n    rate: {per_second: 5}\n"
	short := Rule{ID: "a", Late: &Late{"run"}}
	for _, c := range []struct {
		name, text string
		rule       Rule
		want       string
	}{
		{"empty", "", limit, "format: 1\nrules:\n" + lines},
		{"blank", " \n", limit, "format: 1\nrules:\n" + lines},
		{"none yet", "# Ours.\nrules: [ ]  # none\nformat: 1\n", limit, "# Ours.\nrules:  # none\n" + lines + "format: 1\n"},
		{"none yet, no line end", "format: 1\nrules: []", limit, "format: 1\nrules:\n" + lines},
		{"behind the last", edited, limit, strings.Replace(edited, "{share: 5}}\n", "{share: 5}}\n"+lines, 1)},
		{"in the place of", edited, short, strings.Replace(edited, "  - id: a\n    off: {}   # all\n", "  - id: a\n    late: {do: run}\n", 1)},
		{"no line end", "format: 1\nrules:\n- id: a\n  off: {}", Rule{ID: "b", Off: &Off{}}, "format: 1\nrules:\n- id: a\n  off: {}\n- id: b\n  off: {}\n"},
		{"rules above", "rules:\n- id: b\n  off: {}\n# f\nformat: 1\n", short, "rules:\n- id: b\n  off: {}\n- id: a\n  late: {do: run}\n# f\nformat: 1\n"},
		{"braces", `{"format": 1, "rules": [{"id": "b", "off": {}}]}`, short, "format: 1\nrules:\n  - {\"id\": \"b\", \"off\": {}}\n  - id: a\n    late: {do: run}\n"},
		{"braces, none yet", `{"format": 1, "rules": []}`, short, "format: 1\nrules:\n  - id: a\n    late: {do: run}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Insert([]byte(c.text), c.rule)
			wantText(t, got, err, c.want)
		})
	}
}

func TestInsertOfWhatIsWrongChangesNothing(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{ID: "x"}, "the rule says nothing"},
		{Rule{ID: "x y", Off: &Off{}}, `id: is "x y"`},
		{Rule{Off: &Off{}}, "id is missing"},
		{Rule{ID: "x", Off: &Off{}, Late: &Late{"run"}}, "the rule has off and late"},
		{Rule{ID: "x", Scope: Scope{Module: "pay"}, Timeout: &Timeout{Max: Duration(time.Second)}}, "the rule b in line 12 has the same scope"},
		{Rule{ID: "x", Note: "\xff", Off: &Off{}}, "not UTF-8"},
		{Rule{ID: "x", Rate: &Rate{}}, `rate.per_second: is "0"`},
		{Rule{ID: "x", Addresses: &Addresses{Allow: []netip.Prefix{{}}}}, "addresses.allow"},
	} {
		if text, err := Insert([]byte(edited), c.rule); text != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %s, %v", c.rule, text, err)
		}
	}
}

func TestPruneEnded(t *testing.T) {
	text := "format: 1\nrules:\n  - {id: a, until: 2026-01-01T00:00:00Z, off: {}}\n  - {id: b, until: 2026-01-03T00:00:00Z, off: {}}\n" +
		"  # c\n  - {id: c, off: {}}\n  - {id: d, until: 2025-01-01T00:00:00Z, off: {}}\n"
	got, ids, err := PruneEnded([]byte(text), at(t, "2026-01-01T00:00:00Z"))
	wantText(t, got, err, "format: 1\nrules:\n  - {id: b, until: 2026-01-03T00:00:00Z, off: {}}\n  # c\n  - {id: c, off: {}}\n")
	if diff := cmp.Diff([]string{"a", "d"}, ids); diff != "" {
		t.Error(diff)
	}
	got, ids, err = PruneEnded([]byte(text), at(t, "2024-01-01T00:00:00Z"))
	wantText(t, got, err, text)
	if len(ids) > 0 {
		t.Errorf("removed %v", ids)
	}
}

// TestEditsAreTheEditsMeant: after any inserts and removals the document is what a list of rules would be.
func TestEditsAreTheEditsMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.SampledFrom([]string{"", "format: 1\nrules: []\n", `{"rules": [{"id":"a","off":{}}], "format": 1}`, edited}).Draw(t, "text"))
		var want []Rule
		if len(text) > 0 {
			d, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			want = d.Rules
		}
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			id := rapid.SampledFrom([]string{"a", "b", "c", "1", "no", "x.y:z-_"}).Draw(t, "id")
			i := -1
			for n, r := range want {
				if r.ID == id {
					i = n
				}
			}
			if rapid.Bool().Draw(t, "remove") {
				edited, err := Remove(text, id)
				if (err == nil) != (i >= 0) {
					t.Fatalf("removing %s of %v: %v", id, want, err)
				}
				if err == nil {
					text, want = edited, append(want[:i:i], want[i+1:]...)
				}
			} else {
				r := anyRule(t, id)
				edited, err := Insert(text, r)
				if err != nil {
					t.Fatalf("%v in\n%s", err, text)
				}
				if text = edited; i >= 0 {
					want = append(append(want[:i:i], r), want[i+1:]...)
				} else {
					want = append(slices.Clip(want), r)
				}
			}
			d, err := Parse(text)
			if len(text) == 0 && len(want) == 0 {
				continue
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			if changes := Diff(&Document{want}, d); changes != nil || len(d.Rules) != len(want) {
				t.Fatalf("%v in\n%s", changes, text)
			}
			for i := range want {
				if d.Rules[i].ID != want[i].ID {
					t.Fatalf("the order is another one in\n%s", text)
				}
			}
		}
	})
}

// anyRule draws a rule that is allowed beside others, with values that YAML might read otherwise.
func anyRule(t *rapid.T, id string) Rule {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "yes", "~", "1", "- a", "#x", "a: b", "'", `"`, "\\", " x ", "a\nb", "é", "&a", "*a", "!a", "%a", "@a", "x # y", "\x7f"}),
		rapid.StringN(0, 20, 60))
	r := Rule{ID: id, Scope: Scope{Module: rapid.SampledFrom([]string{"", "m", "null", "0x1", "1e3", "on"}).Draw(t, "module")}}
	if note := text.Draw(t, "note"); checkText(note, maxNote) == "" {
		r.Note = note
	}
	if rapid.Bool().Draw(t, "ends") {
		r.Until = time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "until"), 500).UTC()
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		r.Off = &Off{Share: rapid.SampledFrom([]float64{0, 100, 0.1, 33.3}).Draw(t, "share"), Fallback: text.Draw(t, "fallback")}
	case 1:
		r.Rate = &Rate{PerSecond: rapid.SampledFrom([]float64{1e7, 1e-7, 3}).Draw(t, "rate"), Over: "pace", MaxWait: Duration(time.Second)}
	case 2:
		r.Callers = &Callers{Allow: []string{"yes", "1.5"}, Deny: []string{"-"}}
	case 3:
		r.Addresses = &Addresses{Deny: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("1.2.3.4/32")}}
	case 4:
		r.Module, r.Method = "m", "M"
		r.Password = &Password{[]Key{{7, Secret("0123456789abcdef'\"#: ")}}}
	case 5:
		r.Concurrency = &Concurrency{Max: 5, Each: "caller"}
	}
	return r
}

// TestSampleOfTheConfiguration loads configs/rules.yaml strictly; every kind is in it.
func TestSampleOfTheConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../configs/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wantEveryKind(t, mustParse(t, string(text)).Rules)
}

func wantEveryKind(t *testing.T, rules []Rule) {
	t.Helper()
	seen := map[Kind]bool{}
	for _, r := range rules {
		seen[r.Kind()] = true
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("there is no rule of the kind %s", kind)
		}
	}
}

// TestEveryExampleOfThePageIsRead: docs/rules.md has one of each kind.
func TestEveryExampleOfThePageIsRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules []Rule
	for i, part := range strings.Split(string(text), "```") {
		example, isYAML := strings.CutPrefix(part, "yaml\n")
		if i%2 == 0 || !isYAML {
			continue
		}
		if !strings.HasPrefix(example, "format:") {
			example = "format: 1\nrules:\n" + example
		}
		d, err := Parse([]byte(example))
		if err != nil {
			t.Errorf("%v\nin\n%s", err, example)
			continue
		}
		rules = append(rules, d.Rules...)
	}
	wantEveryKind(t, rules)
}
