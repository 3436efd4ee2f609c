package admin

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// post asks for a change that is made for one version of the rules; "" is for whichever is there.
func (n *node) post(path, match, body string) (c changed) {
	n.t.Helper()
	var edit []func(*http.Request)
	if match != "" {
		edit = append(edit, header("If-Match", match))
	}
	c.Status = n.send(http.MethodPost, path, asJSON, body, &c, edit...)
	return c
}

// TestASwitchIsMadeForTheRulesThatWereShown: kim looks at what a change would do, lee changes the rules, kim says yes.
func TestASwitchIsMadeForTheRulesThatWereShown(t *testing.T) {
	for _, test := range []struct{ name, path, body, says string }{
		{"off", "/v1/switches", `{"action": "off", "module": "pay", "author": "kim", "reason": "r"}`, "added off:pay"},
		{"limit", "/v1/switches", `{"action": "limit", "module": "pay", "limit": {"per_second": 9}, "author": "kim", "reason": "r"}`, "changed limit:pay"},
		{"on what lee has taken away", "/v1/switches", `{"action": "on", "module": "pay", "caller": "web", "author": "kim", "reason": "r"}`, "removed off:pay:web"},
		{"on by an id", "/v1/switches", `{"action": "on", "id": "off:pay:web", "author": "kim", "reason": "r"}`, "removed off:pay:web"},
		{"rollback", "/v1/rules/rollback", `{"to": "1.1", "author": "kim", "reason": "r"}`, "removed limit:pay, removed off:pay:web"},
		{"rollback to what is there", "/v1/rules/rollback", `{"to": "1.3", "author": "kim", "reason": "r"}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := govern(t, "a", "b")
			a := w.nodes["a"]
			a.putRules("*", payLimit)
			a.turn(`{"action": "limit", "module": "pay", "limit": {"per_second": 5}, "reason": "r"}`)
			a.turn(`{"action": "off", "module": "pay", "caller": "web", "reason": "r"}`)
			seen := governance.Mark{Epoch: 1, Version: 3}
			dryBody := strings.Replace(test.body, `"reason": "r"`, `"dry_run": true`, 1)
			dry := a.post(test.path, "", dryBody)
			if dry.Status != http.StatusOK || dry.From != seen || dry.lines() != test.says {
				t.Fatalf("dry: %d %q from %+v: %s", dry.Status, dry.Error, dry.From, dry.lines())
			}
			if lee := a.post("/v1/switches", `"1.3"`, `{"action": "on", "module": "pay", "caller": "web", "author": "lee", "reason": "ticket 2"}`); lee.Status != http.StatusOK || lee.From != seen {
				t.Fatalf("lee: %+v", lee)
			}
			before := a.ids()
			kim := a.post(test.path, `"1.3"`, test.body)
			if kim.Status != http.StatusPreconditionFailed || kim.Has.Author != "lee" || kim.Has.Reason != "ticket 2" || kim.Has.Mark.Version != 4 ||
				kim.Has.At.IsZero() || kim.Has.Hash == "" || kim.lines() != "removed off:pay:web" || !strings.Contains(kim.Error, "1.4") || kim.NoSuch {
				t.Errorf("kim: %d %+v", kim.Status, kim)
			}
			if now := a.etag(); now != `"1.4"` || a.ids() != before {
				t.Errorf("the rules are %s: %s", now, a.ids())
			}
			never := a.post(test.path, `"1.99"`, test.body)
			if never.Status != http.StatusPreconditionFailed || !never.NoSuch || !strings.HasPrefix(never.Error, "there is no version 1.99: the newest is 1.4;") {
				t.Errorf("from what never was: %+v", never)
			}
			if bad := a.post(test.path, `"x"`, test.body); bad.Status != http.StatusBadRequest || !strings.Contains(bad.Error, "If-Match") {
				t.Errorf("from x: %+v", bad)
			}
		})
	}
}

// TestOfTwoOperatorsOneChangesTheRules: both say yes in the same moment, at two nodes of one store.
func TestOfTwoOperatorsOneChangesTheRules(t *testing.T) {
	store, err := rulestore.OpenBolt(filepath.Join(t.TempDir(), "rules"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w := governFrom(t, store, "a", "b")
	a, b := w.nodes["a"], w.nodes["b"]
	b.serve()
	a.putRules("*", payLimit)
	for round := range 8 {
		seen := a.etag()
		got := make([]changed, 2)
		var both sync.WaitGroup
		both.Go(func() {
			got[0] = a.post("/v1/switches", seen, `{"action": "off", "module": "pay", "caller": "kim", "reason": "r"}`)
		})
		both.Go(func() {
			got[1] = b.post("/v1/switches", seen, `{"action": "limit", "module": "pay", "caller": "lee", "reason": "r", "limit": {"per_second": 5}}`)
		})
		both.Wait()
		won := 0
		for _, one := range got {
			switch {
			case one.Status == http.StatusOK:
				won++
			case one.Status != http.StatusPreconditionFailed || one.lines() == "":
				t.Errorf("round %d: %+v", round, one)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d have won", round, won)
		}
		// Whoever names no version is not refused.
		back := a.post("/v1/rules/rollback", "", `{"to": "1.1", "reason": "r"}`)
		if back.Status != http.StatusOK {
			t.Fatalf("round %d: %+v", round, back)
		}
	}
}
