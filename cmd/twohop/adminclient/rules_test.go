package adminclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMarksAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Mark{"1.7": {1, 7}, "0.0": {}, "12.345": {12, 345}} {
		if m, err := ParseMark(text); err != nil || m != want || m.String() != text {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "1", "1.", ".7", "1.7.2", "1.-7", "v1.7", " 1.7"} {
		if _, err := ParseMark(text); err == nil || !strings.Contains(err.Error(), "must be epoch.version, as 1.7") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if !(Mark{1, 9}).Less(Mark{2, 0}) || !(Mark{1, 7}).Less(Mark{1, 8}) || (Mark{1, 7}).Less(Mark{1, 7}) || (Mark{2, 0}).Less(Mark{1, 9}) {
		t.Error("the order of marks")
	}
}

// TestADocumentIsSentWithWhatItIsFrom: a document is no JSON, and a reason may have any letters.
func TestADocumentIsSentWithWhatItIsFrom(t *testing.T) {
	var match, body string
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		match, body = r.Header.Get("If-Match"), r.Header.Get("Content-Type")+" "+string(text)
		fmt.Fprint(w, `{"mark":{"epoch":1,"version":8}}`)
	})
	a, err := c.PutRules(t.Context(), []byte("format: 1\n"), &Mark{1, 7}, "kim", "weil… es eilt\n")
	if err != nil || a.Mark != (Mark{1, 8}) || match != `"1.7"` || body != `application/json {"text":"format: 1\n","reason":"weil… es eilt\n","author":"kim"}` {
		t.Errorf("%v, %v, %s, %s", a, err, match, body)
	}
	if _, err := c.PutRules(t.Context(), nil, nil, "kim", "x"); err != nil || match != "*" {
		t.Errorf("%v, %s", err, match)
	}
	if _, err := c.JudgeRules(t.Context(), nil); err != nil || body != "application/yaml " {
		t.Errorf("%v, %q", err, body)
	}
}

func TestARefusalSaysWhatItIs(t *testing.T) {
	refusal := func(status int, body string) *RefusalError {
		t.Helper()
		_, err := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}).Rules(t.Context(), false)
		r, ok := errors.AsType[*RefusalError](err)
		if !ok || r.Status != status {
			t.Fatalf("%v", err)
		}
		return r
	}
	r := refusal(412, `{"error":"late","has":{"mark":{"epoch":1,"version":8},"hash":"77","author":"lee"},"changes":[{"op":"added","id":"x"}]}`)
	if c, ok := r.Conflict(); !ok || c.Has.Mark != (Mark{1, 8}) || len(c.Changes) != 1 {
		t.Errorf("%+v", c)
	}
	r = refusal(400, `{"error":"wrong","problems":[{"line":1,"column":2,"message":"m"}]}`)
	if i, ok := r.Invalid(); !ok || i.Problems[0].Column != 2 {
		t.Errorf("%+v", i)
	}
	r = refusal(404, `{"error":"none","switches":[{"id":"off:x","kind":"off"}],"nodes":[{"node":"a"},{"node":"c","error":"late"}]}`)
	if s, ok := r.Switches(); !ok || s[0].ID != "off:x" || len(r.Unheard()) != 1 || r.Older() {
		t.Errorf("%+v, %v", s, r.Unheard())
	}
	if r := refusal(404, `{"error":"there is no /v1/rules","paths":["/v1/info"]}`); !r.Older() {
		t.Error("a node that does not know the path")
	}
	plain := refusal(400, `{"error":"no"}`)
	if _, ok := plain.Invalid(); ok {
		t.Error("problems")
	}
	if _, ok := plain.Conflict(); ok {
		t.Error("a conflict")
	}
	if _, ok := plain.Switches(); ok || plain.Unheard() != nil {
		t.Error("switches")
	}
}

func TestWhoIsNotThereIsAway(t *testing.T) {
	c, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rules(t.Context(), true); !Away(err) {
		t.Errorf("%v", err)
	}
	if Away(errors.New("x")) || Away(nil) {
		t.Error("others")
	}
}

// TestASwitchSaysOnlyWhatIsSaid: a node reads strictly, and what is not there has its default.
func TestASwitchSaysOnlyWhatIsSaid(t *testing.T) {
	until := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for want, s := range map[string]Switch{
		`{"action":"on","module":"pay"}`:                                                                    {Action: "on", Module: "pay"},
		`{"action":"off","until":"2026-11-20T10:00:00Z","off":{"share":50}}`:                                {Action: "off", Until: &until, Off: &SwitchOff{Share: 50}},
		`{"action":"limit","for_seconds":600,"limit":{"per_second":2.5,"over":"pace","max_wait_ms":100.5}}`: {Action: "limit", ForSeconds: 600, Limit: &Limit{PerSecond: 2.5, Over: "pace", MaxWaitMS: 100.5}},
	} {
		if got, err := json.Marshal(s); err != nil || string(got) != want {
			t.Errorf("%s, want %s: %v", got, want, err)
		}
	}
}
