package rules

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return d
}

// rule returns a document of one rule, with these lines below its id.
func rule(lines string) string {
	return "format: 1\nrules:\n  - id: r\n    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
}

func TestEveryKindIsRead(t *testing.T) {
	d := mustParse(t, `# Rules of the house.
format: 1
rules:
  - id: rocket-off-for-web
    module: fishtrade
    method: SendRocket
    group: g1
    caller: web
    until: 2026-11-21T12:00:00Z
    shadow: true
    note: "ticket 4711"
    off: {share: 50, fallback: '{"ok":false}', fallback_type: application/json}
  - {id: all-off, off: {}}
  - id: "1"
    rate: {per_second: 0.5}
  - id: r2
    rate: {per_second: 1e3, burst: 7, per: node, each: caller, over: pace, max_wait: 1.5s}
  - id: r3
    rate:
      per_second: 200
      per: instance
  - id: c
    concurrency: {max: 10, per: node, each: caller}
  - id: who
    callers: {allow: [web, "no"], deny: [x.y:z-_1]}
  - id: where
    addresses: {allow: [10.0.0.0/8, 10.1.2.3, "::ffff:192.0.2.1", fd00::/8], deny: ["::1"]}
  - id: secret
    module: pay
    method: Pay
    password: {keys: [{key_id: 1, secret: 0123456789abcdef}, {key_id: 2, secret: "fedcba9876543210"}]}
  - id: open
    until: 2026-11-21T13:00:00+01:00
    lift: {checks: [callers, addresses, visibility, password]}
  - id: v
    visibility: {for: external}
  - id: t
    timeout: {default: 2s, max: 5s}
  - id: again
    retry: {max_attempts: 3}
  - id: b
    balance: {by: least_active}
  - id: l
    late: {do: run}
`)
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	prefix := netip.MustParsePrefix
	want := []Rule{
		{ID: "rocket-off-for-web", Scope: Scope{"fishtrade", "SendRocket", "g1", "web"}, Until: noon, Shadow: true, Note: "ticket 4711", Line: 4,
			Off: &Off{50, `{"ok":false}`, "application/json"}},
		{ID: "all-off", Line: 13, Off: &Off{Share: 100}},
		{ID: "1", Line: 14, Rate: &Rate{PerSecond: 0.5, Burst: 1, Per: "cluster", Over: "reject"}},
		{ID: "r2", Line: 16, Rate: &Rate{1000, 7, "node", "caller", "pace", Duration(1500 * time.Millisecond)}},
		{ID: "r3", Line: 18, Rate: &Rate{PerSecond: 200, Burst: 20, Per: "instance", Over: "reject"}},
		{ID: "c", Line: 22, Concurrency: &Concurrency{10, "node", "caller"}},
		{ID: "who", Line: 24, Callers: &Callers{[]string{"web", "no"}, []string{"x.y:z-_1"}}},
		{ID: "where", Line: 26, Addresses: &Addresses{[]netip.Prefix{prefix("10.0.0.0/8"), prefix("10.1.2.3/32"), prefix("192.0.2.1/32"),
			prefix("fd00::/8")}, []netip.Prefix{prefix("::1/128")}}},
		{ID: "secret", Scope: Scope{Module: "pay", Method: "Pay"}, Line: 28, Password: &Password{[]Key{{1, "0123456789abcdef"}, {2, "fedcba9876543210"}}}},
		{ID: "open", Until: noon, Line: 32, Lift: &Lift{[]Kind{"callers", "addresses", "visibility", "password"}}},
		{ID: "v", Line: 35, Visibility: &Visibility{"external"}},
		{ID: "t", Line: 37, Timeout: &Timeout{Duration(2 * time.Second), Duration(5 * time.Second)}},
		{ID: "again", Line: 39, Retry: &Retry{3}},
		{ID: "b", Line: 41, Balance: &Balance{"least_active"}},
		{ID: "l", Line: 43, Late: &Late{"run"}},
	}
	if diff := cmp.Diff(want, d.Rules, cmpopts.IgnoreUnexported(Rule{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for i, r := range d.Rules {
		if r.Kind() == "" || kinds[r.Kind()] == nil {
			t.Errorf("rule %d has the kind %q", i, r.Kind())
		}
	}
}

// TestWrongDocuments has what operators read.
func TestWrongDocuments(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", rule("modul: pay\noff: {}"), `line 4, column 5: "modul" is not a key of a rule; did you mean module?`},
		{"unknown key of a kind", rule("rate: {per_sec: 5}"), "line 4, column 11: rate.per_second is missing\n" +
			`line 4, column 12: "per_sec" is not a key of rate; did you mean per_second?`},
		{"unknown key, nothing near", rule("off: {}\nzzzzzz: 1"), `line 5, column 5: "zzzzzz" is not a key of a rule; its keys are id, module, method, ` +
			`group, caller, until, shadow, note, addresses, callers, visibility, password, off, rate, concurrency, lift, timeout, retry, balance, late`},
		{"unknown key of the document", "format: 1\nrule: []\n", `line 2, column 1: "rule" is not a key of the document; did you mean rules?`},
		{"two equal settings", rule("module: pay\ntimeout: {max: 1s}") + "  - id: s\n    module: pay\n    timeout: {default: 2s}\n",
			"line 8, column 14: timeout: the rule r in line 3 has the same scope (pay): which of them holds? Remove one, or make it more specific"},
		{"negative rate", rule("rate: {per_second: -5}"), `line 4, column 24: rate.per_second: is "-5", must be a number above 0 and at most 10000000`},
		{"rate that is none", rule("rate: {per_second: NaN}"), `line 4, column 24: rate.per_second: is "NaN", must be a number above 0 and at most 10000000`},
		{"bad CIDR", rule("addresses: {allow: [10.0.0.0/33]}"),
			`line 4, column 25: addresses.allow: is "10.0.0.0/33", must be an address or a prefix, as 10.1.2.3, 10.0.0.0/8 or fd00::/8`},
		{"CIDR with host bits", rule("addresses: {deny: [10.1.2.3/8]}"),
			`line 4, column 24: addresses.deny: is "10.1.2.3/8", has bits behind its prefix: 10.0.0.0/8 or 10.1.2.3 is meant`},
		{"address with a zone", rule("addresses: {deny: [fe80::1%eth0]}"), `line 4, column 24: addresses.deny: is "fe80::1%eth0", must have no zone`},
		{"two kinds", rule("off: {}\nretry: {max_attempts: 2}"), "line 5, column 5: the rule has off and retry: a rule has exactly one kind; make it two rules"},
		{"no kind", rule("module: pay"), "line 3, column 5: the rule says nothing: it needs one of addresses, callers, visibility, password, off, rate, " +
			"concurrency, lift, timeout, retry, balance, late"},
		{"method without module", rule("method: Pay\noff: {}"), "line 4, column 13: method: needs module: whose method it is"},
		{"group without module", rule("group: g\noff: {}"), "line 4, column 12: group: needs module: whose group it is"},
		{"full method", rule("module: a\nmethod: a.B\noff: {}"), `line 5, column 13: method: is "a.B", has no dot: the module stands apart, as module: a`},
		{"no id", "format: 1\nrules:\n  - off: {}\n", "line 3, column 5: id is missing"},
		{"same id", rule("off: {}") + "  - id: r\n    off: {}\n", "line 5, column 9: id: r is the id of the rule in line 3, too: ids are unique"},
		{"bad id", "format: 1\nrules:\n- id: a b\n  off: {}\n", `line 3, column 7: id: is "a b", may hold A-Z a-z 0-9 _ : . - only`},
		{"long id", "format: 1\nrules:\n- id: " + strings.Repeat("x", 128) + "\n  off: {}\n", `line 3, column 7: id: has 128 bytes, must have 1 to 127`},
		{"key twice", rule("off: {}\nmodule: a\nmodule: b"), "line 6, column 5: module stands twice: its value stands in line 5 already"},
		{"kind twice", rule("off: {}\noff: {}"), "line 5, column 5: off stands twice: its value stands in line 4 already"},
		{"no value", rule("off:"), "line 4, column 9: off has no value: off: {} switches all calls off"},
		{"null id", rule("note: ~\noff: {}"), "line 4, column 11: note: has no value"},
		{"share", rule("off: {share: 120}"), `line 4, column 18: off.share: is "120", must be a number above 0 and at most 100`},
		{"type alone", rule("off: {fallback_type: a/b}"), `line 4, column 26: off.fallback_type: needs fallback`},
		{"fallback", rule("off: {fallback: " + strings.Repeat("x", 64<<10+1) + "}"), `line 4, column 21: off.fallback: has 65537 bytes, must have at most 65536`},
		{"until", rule("until: tomorrow\noff: {}"), `line 4, column 12: until: is "tomorrow", must be a time with its zone, as 2026-11-21T12:00:00Z or 2026-11-21T13:00:00+01:00`},
		{"until without zone", rule("until: 2026-11-21T12:00:00\noff: {}"),
			`line 4, column 12: until: is "2026-11-21T12:00:00", must be a time with its zone, as 2026-11-21T12:00:00Z or 2026-11-21T13:00:00+01:00`},
		{"until far away", rule("until: 9999-11-21T12:00:00Z\noff: {}"), `line 4, column 12: until: is "9999-11-21T12:00:00Z", must be in a year from 1970 to 2200`},
		{"shadow", rule("shadow: yes\noff: {}"), `line 4, column 13: shadow: is "yes", must be true or false`},
		{"note", rule(`note: "a\eb"` + "\noff: {}"), `line 4, column 11: note: has the control character U+001B`},
		{"burst", rule("rate: {per_second: 5, burst: 0.5}"), "line 4, column 34: rate.burst: is 0.5, must be at least 1: with less no call would ever fit"},
		{"pace alone", rule("rate: {per_second: 5, over: pace}"), "line 4, column 11: rate.max_wait is missing: pace needs it, how long a call may be held"},
		{"wait alone", rule("rate: {per_second: 5, max_wait: 1s}"), "line 4, column 37: rate.max_wait: only stands with over: pace"},
		{"long wait", rule("rate: {per_second: 5, over: pace, max_wait: 11s}"),
			`line 4, column 49: rate.max_wait: is "11s", must be a duration from 1ms to 10s, as 500ms or 2s`},
		{"instance that paces", rule("rate: {per_second: 5, per: instance, over: alarm, each: caller}"),
			"line 4, column 48: rate.over: with per: instance it can only be reject: servers do not hold calls\n" +
				"line 4, column 61: rate.each: cannot stand with per: instance"},
		{"instance of a group", rule("module: m\ngroup: g\nrate: {per_second: 5, per: instance}"),
			"line 5, column 12: group: cannot stand with per: instance: servers check it, and do not know which group the caller named"},
		{"per", rule("rate: {per_second: 5, per: mesh}"), `line 4, column 32: rate.per: is "mesh", must be cluster, node or instance`},
		{"concurrency", rule("concurrency: {max: 0}"), `line 4, column 24: concurrency.max: is "0", must be a whole number from 1 to 10000000`},
		{"callers, nobody", rule("callers: {}"), "line 4, column 14: callers needs allow or deny"},
		{"callers, empty", rule("callers: {allow: []}"), "line 4, column 22: callers.allow: is empty: leave the key out, or name something"},
		{"callers, no list", rule("callers: {allow: web}"), "line 4, column 22: callers.allow: must be a list, as [a, b]"},
		{"callers, twice", rule("callers: {allow: [web, web]}"), `line 4, column 28: callers.allow: "web" stands twice`},
		{"short secret", rule("module: m\nmethod: M\npassword: {keys: [{key_id: 1, secret: hunter2}]}"),
			"line 6, column 43: password.keys.secret: has 7 bytes, must have 16 to 1024"},
		{"password of a module", rule("module: m\npassword: {keys: [{key_id: 1, secret: 0123456789abcdef}]}"),
			"line 5, column 15: password: needs module and method: a password is of one method"},
		{"password of a group", rule("module: m\nmethod: M\ngroup: g\npassword: {keys: [{key_id: 1, secret: 0123456789abcdef}]}"),
			"line 6, column 12: group: cannot stand with password: servers check it, and do not know which group the caller named"},
		{"three keys", rule("module: m\nmethod: M\npassword: {keys: [{}, {}, {}]}"), "line 6, column 22: password.keys: has 3 entries, must have at most 2"},
		{"same key", rule("module: m\nmethod: M\npassword: {keys: [{key_id: 1, secret: 0123456789abcdef}, {key_id: 1, secret: 0123456789abcdef}]}"),
			"line 6, column 71: password.keys.key_id: 1 stands twice: each key has its own"},
		{"lift for ever", rule("lift: {checks: [callers]}"), "line 3, column 5: until is missing: checks are lifted for a time"},
		{"lift of a limit", rule("until: 2100-01-01T00:00:00Z\nlift: {checks: [rate]}"),
			`line 5, column 21: lift.checks: is "rate", must be callers, addresses, visibility or password`},
		{"lift of a password for some", rule("until: 2100-01-01T00:00:00Z\ncaller: web\nlift: {checks: [password]}"),
			"line 6, column 11: lift: checks: password is lifted for a module or a method, and not for a caller or a group: servers check it for all alike"},
		{"visibility", rule("visibility: {for: all}"), `line 4, column 23: visibility.for: is "all", must be internal, external or admin`},
		{"timeout, none", rule("timeout: {}"), "line 4, column 14: timeout needs default or max"},
		{"timeout, default above max", rule("timeout: {default: 5s, max: 2s}"), "line 4, column 24: timeout.default: is 5s, more than max, 2s"},
		{"timeout without unit", rule("timeout: {max: 5}"), `line 4, column 20: timeout.max: is "5", must be a duration from 1ms to 24h0m0s, as 500ms or 2s`},
		{"retry", rule("retry: {max_attempts: 11}"), `line 4, column 27: retry.max_attempts: is "11", must be a whole number from 1 to 10`},
		{"balance", rule("balance: {by: roundrobin}"), `line 4, column 19: balance.by: is "roundrobin", must be random, round_robin, hash or least_active`},
		{"late", rule("late: {do: it}"), `line 4, column 16: late.do: is "it", must be discard or run`},
		{"late, no mapping", rule("late: run"), `line 4, column 11: late must be keys and values: do`},

		{"anchor", rule("off: &x {}"), "line 4, column 10: an anchor (&name): write the value out where it is used"},
		{"alias", rule("off: *x"), "line 4, column 10: an alias (*name): write the value out, or put it in quotes"},
		{"alias and anchor", rule("off: &x {}\nnote: *x"), "line 4, column 10: an anchor (&name): write the value out where it is used"},
		{"merge key", rule("<<: {off: {}}"), "line 4, column 5: a merge key (<<): write the keys out"},
		{"tag", rule("off: !!map {}"), "line 4, column 10: a tag (!name): write the value without it"},
		{"alias bomb", "format: 1\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nrules: *c\n",
			"line 2, column 4: an anchor (&name): write the value out where it is used"},
		{"two documents", rule("off: {}") + "---\nformat: 1\nrules: []\n", `line 5, column 1: "---" begins or ends a document: the rules are one document`},
		{"two documents in braces", "{format: 1, rules: []}\n--- {}\n", `line 2, column 1: "---" begins or ends a document: the rules are one document`},
		{"empty", "", "line 1, column 1: the document is empty: a document begins with format: 1, and below it rules:"},
		{"comments", "# nothing\n", "line 1, column 1: the document is empty: a document begins with format: 1, and below it rules:"},
		{"a list", "- id: r\n", "line 1, column 1: is not a document of rules: a document begins with format: 1, and below it rules:"},
		{"a word", "rules\n", "line 1, column 1: is not a document of rules: a document begins with format: 1, and below it rules:"},
		{"no format", "rules: []\n", "line 1, column 1: format is missing: a document begins with format: 1, and below it rules:"},
		{"other format", "format: 2\nrules: []\n", `line 1, column 9: format: is "2", must be 1`},
		{"no rules", "format: 1\n", "line 1, column 1: rules is missing: a document begins with format: 1, and below it rules:"},
		{"rules of nothing", "format: 1\nrules:\n", "line 2, column 7: rules: is empty: write rules: [] if there are to be none"},
		{"rules twice", "rules: []\nformat: 1\nrules:\n  - id: r\n    off: {}\n", "line 3, column 1: rules stands twice: its value stands in line 1 already"},
		{"rules above and below", "rules:\n  - id: r\n    off: {}\nformat: 1\nrules: []\n", "line 4, column 1: rules stands twice"},
		{"rules that are none", "format: 1\nrules: {a: b}\n", "line 2, column 8: rules: must be a list: a rule begins with -"},
		{"a rule that is none", "format: 1\nrules:\n- x\n- [a]\n-\n", "line 3, column 3: a rule must be keys and values: " + strings.Join(append(ruleKeys, kindKeys...), ", ") +
			"\nline 4, column 3: a rule must be keys and values: " + strings.Join(append(ruleKeys, kindKeys...), ", ") +
			"\nline 5, column 2: a rule has no value, must be keys and values: " + strings.Join(append(ruleKeys, kindKeys...), ", ")},
		{"tab", "format: 1\nrules:\n  - id: r\n\toff: {}\n", "line 4, column 2: not YAML: found a tab character that violates indentation; the line has a tab: indent with blanks"},
		{"not UTF-8", "format: 1\n# \xff\nrules: []\n", "line 2, column 3: the document is not UTF-8"},
		{"control character", "format: 1\nrules:\n  - id: r\n    note: a\x00b\n", "line 3, column 3: not YAML: control characters are not allowed"},
		{"every rule is read", rule("off: {") + "  - id: s\n    off: {share: 0}\n  - id: t\n    note: \"open\n    off: {}\n  - id: u\n    late: {do: x}\n",
			"line 4, column 5: not YAML: did not find expected node content\n" +
				`line 6, column 18: off.share: is "0", must be a number above 0 and at most 100` + "\n" +
				"line 8, column 5: not YAML: found unexpected end of stream\n" +
				`line 11, column 16: late.do: is "x", must be discard or run`},
		{"lines that end with CR only", "format: 1\nrules:\n  - id: r\r    off: {}\r  - id: s\r    off: {}\n",
			"line 3, column 3: is not one rule: a rule begins with - in the column of the first one's, and lines end with a line feed"},
		{"settings", rule("settings: {timeout: {max: 1s}}"), "line 3, column 5: the rule says nothing: it needs one of " + strings.Join(kindKeys, ", ") + "\n" +
			`line 4, column 5: "settings" is not a key of a rule; its keys are ` + strings.Join(append(ruleKeys, kindKeys...), ", ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse([]byte(c.text))
			var wrong *Invalid
			if !errors.As(err, &wrong) || d != nil {
				t.Fatalf("got %v, %v", d, err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
