package main

import (
	"strings"
	"testing"
)

const (
	upTo    = `{"peer":"%","number":2,"address":"h:2","state":"up","state_seconds":60,"rtt_us":312,"incarnation":"9","version":"1"}`
	waiting = `{"peer":"c","state":"waiting","state_seconds":12.5,"not_up_seconds":72.5,"cause":"connection refused","rtt_us":900,"oldest_unanswered_ms":1500,` +
		`"last_error":"read: reset","incarnation":"9","version":"1"}`
)

func up(peer string) string { return strings.Replace(upTo, "%", peer, 1) }

func TestLinksAreShownFromBothEnds(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/links": `{"node":"b","mesh":"m","nodes":[
		{"node":"b","links":[` + up("a") + `,` + waiting + `],"troubles":[
			{"kind":"link_down","peer":"c","seconds":72.5,"cause":"connection refused"},
			{"kind":"link_slow","peer":"a","seconds":61,"cause":"round trip 2s"}]},
		{"node":"a","links":[` + up("b") + `,{"peer":"c","state":"syncing","state_seconds":0.2,"not_up_seconds":9,"incarnation":"9","version":"1"}],"troubles":[]},
		{"node":"c","error":"the link to it is waiting for 12s"}]}`})
	code, out, errs := f.run("", "links")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	wantLines(t, out,
		`FROM \ TO a b c`,
		`a · up 0.3ms syncing 9s`,
		`b up 0.3ms · waiting 1m`,
		`c ? ? ·`,
		`FROM TO STATE SINCE CAUSE RTT UNANSWERED LAST ERROR`,
		`b c link_down 1m connection refused 0.9ms 1.5s read: reset`,
		`b a link_slow 1m round trip 2s 0.3ms - -`,
		`a c syncing 9s - - - -`,
	)
	if strings.Count(out, "connection refused") != 1 {
		t.Errorf("a link that is down stands there twice:\n%s", out)
	}
	wantLines(t, errs, "twohop: node c was not heard, how its links are is known from the other ends only: the link to it is waiting for 12s")
	if _, out, _ := f.run("", "links", "--json"); !strings.Contains(out, `"incarnation": "9"`) || !strings.Contains(out, `"error": "the link`) {
		t.Errorf("as JSON: %s", out)
	}
}

// TestADeadNodeIsOneTrouble: that the link to it is down, too, needs no line.
func TestADeadNodeIsOneTrouble(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/links": `{"node":"b","nodes":[{"node":"b","links":[` + up("a") + `,` + waiting + `],"troubles":[
		{"kind":"link_down","peer":"c","seconds":13,"cause":"connection refused"},
		{"kind":"node_dead","peer":"c","seconds":12,"cause":"nobody reaches it"},
		{"kind":"link_down","peer":"z","seconds":3,"cause":"other"}]}]}`})
	_, out, _ := f.run("", "links")
	wantLines(t, out, `b c node_dead 12s nobody reaches it 0.9ms 1.5s read: reset`, `b z link_down 3s other - - -`)
	if n := strings.Count(out, "link_down"); n != 1 {
		t.Errorf("%d lines of links that are down:\n%s", n, out)
	}
}

func TestLinksThatAreAllUp(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/links": `{"node":"a","nodes":[{"node":"a","links":[` + up("b") + `]},{"node":"b","links":[` + up("a") + `]}]}`})
	_, out, errs := f.run("", "links")
	wantLines(t, out, "a · up 0.3ms", "b up 0.3ms ·", "all links are up")
	if errs != "" {
		t.Errorf("stderr %q", errs)
	}
	f = newFakeNode(t, map[string]string{"/v1/links": `{"node":"a","nodes":[{"node":"a","links":[` + up("b") + `]},{"node":"b","error":"late\u001b[1m"}]}`})
	_, out, errs = f.run("", "links")
	wantLines(t, out, "all links are up, as far as nodes were heard")
	if !strings.Contains(errs, "late?[1m") {
		t.Errorf("stderr %q", errs)
	}
}

func TestPsNamesWhoWasNotHeard(t *testing.T) {
	f := newFakeNode(t, map[string]string{
		"/v1/info": `{"node":"a","mesh":"m","listen":"h:1","ready":true,"peers":{"members":3,"links":2,"links_up":1}}`,
		"/v1/registry": `{"total":1,"nodes":[{"node":"a"},{"node":"b"},{"node":"c","error":"it did not answer within 2s"}],"modules":[{"module":"pay",
			"methods":[{"method":"Charge","visibility":"internal","instances":1}],
			"instances":[{"instance":"1","uuid":"u","weight":100,"age_seconds":60,"outstanding":3,"failing":0,"app_version":"1.2",
				"paths":[{"node":"a","session":"1","remote":"10.0.0.9:1"},{"node":"b","session":"2","remote":"10.0.0.9:2"}]}]}]}`,
		"/v1/sessions": `{"total":0,"sessions":[]}`,
	})
	code, out, errs := f.run("", "ps")
	if code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	wantLines(t, out, "node a of mesh m at h:1, ready, up 0s, 0 calls in flight, 1 of 2 links up", "pay.Charge 1 internal -",
		"pay 1 ready - 100 a b 10.0.0.9:1 1m 3 0% 1.2 -")
	wantLines(t, errs, "twohop: node c was not heard, what it serves is missing here: it did not answer within 2s")
	_, out, _ = f.run("", "ps", "instances", "--json")
	if !strings.Contains(out, `"paths": [`) || !strings.Contains(out, `"error": "it did not`) || strings.Contains(out, `"session": "0"`) {
		t.Errorf("as JSON: %s", out)
	}
}
