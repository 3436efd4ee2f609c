package admin

import (
	"net/http"
	"strings"
	"testing"
)

// TestUnknownParametersAreRefused: each endpoint of the rules, of what was counted and of alarms names those that it has.
func TestUnknownParametersAreRefused(t *testing.T) {
	a := govern(t, "a").nodes["a"]
	for path, want := range map[string]string{
		"/v1/rules?scoop=mesh&scope=mesh":   `unknown parameter \"scoop\": there are scope`,
		"/v1/rules/history?z=1&a=2":         `unknown parameter \"a\", \"z\": there are before, limit`,
		"/v1/rules/versions/1.1?x":          `unknown parameter \"x\": there are none here`,
		"/v1/rules/explain?rpc=hello.Say":   "there are rpc_id, caller, instance, module, method, group, ip, external",
		"/v1/rules/refused?rpc_id=1":        "there are scope, limit, rule, caller, module, method",
		"/v1/stats?group=caller":            "there are scope, by, module",
		"/v1/stats/callers?modul=pay":       "there are scope, over, module, method",
		"/v1/stats/export?form=1h":          "there are from, to",
		"/v1/alarms?ended=true":             "there are scope, all",
		"/v1/audit?by=kim":                  "there are since, author, action, limit",
		"/v1/quota?node=a":                  "there are scope",
		"/v1/rules/diff?from=1.1&until=1.2": "there are from, to",
	} {
		a.wantText(path, http.StatusBadRequest, want)
	}
	var got struct{ Error string }
	if status := a.send(http.MethodPut, "/v1/rules?dry-run=true", asYAML, payLimit, &got, header("If-Match", "*")); status != http.StatusBadRequest ||
		!strings.Contains(got.Error, "there are dry_run") {
		t.Errorf("%d %q", status, got.Error)
	}
	if got := a.etag(); got != `"0.0"` {
		t.Errorf("the rules are %s", got)
	}
	a.wantText("/v1/stats?by=caller-method", http.StatusOK, `"rows"`)
	a.wantText("/v1/stats?by=caller_method", http.StatusOK, `"rows"`)
}

// TestBadBodiesAreToldInTheirOwnWords: who sends JSON knows nothing of this program's types.
func TestBadBodiesAreToldInTheirOwnWords(t *testing.T) {
	a := govern(t, "a").nodes["a"]
	for body, want := range map[string]string{
		`{"action": "off", "module": 1}`:          "the body: module is a number, must be a string",
		`{"action": "off", "reason": 1}`:          "reason is a number, must be a string",
		`{"action": "off", "dry_run": "yes"}`:     "dry_run is a string, must be true or false",
		`{"action": "off", "for_seconds": "10m"}`: "the body: for_seconds is a string, must be a number",
		`{"action": "off", "off": []}`:            "the body: off is an array, must be an object",
		`[]`:                                      "the body: it is an array, must be an object",
		`{"action": "off", "until": "tomorrow"}`:  `is no time, which is written as 2026`,
		`{"action": "off", "modul": "pay"}`:       `the body: unknown field "modul"`,
		`{"action": "limit", "module": "pay", "limit": {"per_second": "fast"}}`: "limit.per_second is a string, must be a number",
	} {
		got := a.turn(body)
		if got.Status != http.StatusBadRequest || !strings.Contains(got.Error, want) || strings.Contains(got.Error, "Go ") ||
			strings.Contains(got.Error, "account") || strings.Contains(got.Error, "switchRequest") {
			t.Errorf("%s: %d %q, want %q", body, got.Status, got.Error, want)
		}
	}
	var got struct{ Error string }
	if status := a.send(http.MethodPut, "/v1/rules", asYAML, payLimit, &got, header("If-Match", "*")); status != http.StatusBadRequest ||
		!strings.Contains(got.Error, "X-Reason") {
		t.Errorf("without a reason: %d %q", status, got.Error)
	}
}
