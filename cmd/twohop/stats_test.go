package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

const counted = `{"node":"a","total":3,"nodes":[{"node":"a"},{"node":"b","error":"late"}],"rows":[
	{"module":"fishtrade","method":"SendRocket","caller":"web","over_s":90,"entered":900,"started":890,"finished":100000,"in_flight":4,"rate_1s":12,"rate_10s":9.5,"rate_60s":10,
		"classes":{"success":99999,"unknown":1},"codes":{"OK":99999},"p50_us":120,"p99_us":12500},
	{"module":"pay","method":"Charge","over_s":90,"entered":0,"started":0,"finished":0,"sum_us":0}]}`

func TestTopShowsMethods(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/stats": counted})
	code, out, errs := f.run("", "top", "--once")
	if code != exitOK || errs != "" {
		t.Errorf("%d, %q", code, errs)
	}
	if head, _, _ := strings.Cut(out, "\n"); !strings.HasSuffix(head, " UTC as node a (1 of 2 nodes) hears it: by method, sorted by rate, the first 2 of 3 lines") {
		t.Errorf("%q", head)
	}
	wantLines(t, out, "METHOD CALLS/S 10 S 60 S IN FLIGHT P50 P99 OK NOT EXEC FAILED UNKNOWN",
		"fishtrade.SendRocket 12 9.5 10 4 120µs 12ms <100% 0 0 1", "pay.Charge 0 0 0 0 - - - 0 0 0", "b was not heard: late")
	if got := f.questions("/v1/stats")[0].query.Encode(); got != "by=method&limit=100&scope=mesh&sort=rate" {
		t.Errorf("asked %s", got)
	}
	for by, head := range map[string]string{"module": "MODULE CALLS/S", "caller": "CALLER CALLS/S", "caller-method": "CALLER METHOD CALLS/S", "caller_method": "CALLER METHOD CALLS/S"} {
		_, out, _ := f.run("", "top", "--once", "--by", by, "--sort", "p99", "--limit", "7", "--module", "fishtrade", "--method", "SendRocket", "--caller", "web")
		if !strings.Contains(strings.Join(strings.Fields(out), " "), head) {
			t.Errorf("by %s: %s", by, out)
		}
	}
	asked := f.questions("/v1/stats")
	if q := asked[len(asked)-1].query; q.Get("sort") != "p99" || q.Get("limit") != "7" || q.Get("module") != "fishtrade" || q.Get("method") != "SendRocket" || q.Get("caller") != "web" {
		t.Errorf("asked %v", q)
	}
	if _, out, _ := f.run("", "top", "--once", "--json"); !json.Valid([]byte(out)) || !strings.Contains(out, `"rate_10s": 9.5`) {
		t.Errorf("as JSON: %s", out)
	}
}

func TestTopShowsThePast(t *testing.T) {
	past := strings.Replace(counted, `"total":3`, `"total":2,"from":"2026-11-20T10:00:00Z","to":"2026-11-20T11:00:00Z"`, 1)
	past = strings.Replace(past, `"over_s":90,"entered":900`, `"time":"2026-11-20T10:10:00Z","peak":31,"over_s":600,"entered":900`, 1)
	f := newFakeNode(t, map[string]string{"/v1/stats": past})
	code, out, errs := f.run("", "top", "--from", "2026-11-20T10:00:00Z", "--to", "1h", "--step", "10m")
	if code != exitOK || !strings.Contains(errs, "node b was not heard, what it has counted is missing here: late") {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "2026-11-20 10:00:00 UTC to 2026-11-20 11:00:00 UTC as node a (1 of 2 nodes) hears it: by method, sorted by name, 2 lines",
		"TIME METHOD CALLS MEAN/S PEAK/S P50 P99 OK NOT EXEC FAILED UNKNOWN", "2026-11-20 10:10:00 UTC fishtrade.SendRocket 900 1.5 31 120µs 12ms <100% 0 0 1")
	if got := f.questions("/v1/stats")[0].query.Encode(); got != "by=method&from=2026-11-20T10%3A00%3A00Z&limit=1000&scope=mesh&sort=name&step=10m&to=1h" {
		t.Errorf("asked %s", got)
	}
	if strings.Contains(out, "late") {
		t.Errorf("who was not heard stands there twice: %s", out)
	}
	if _, out, _ := f.run("", "top", "--from", "2h", "--by", "caller"); !strings.Contains(out, "by caller, sorted by rate") || strings.Contains(out, "TIME") {
		t.Errorf("%s", out)
	}
}

func TestTopShowsThatThereIsNothing(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/stats": `{"node":"a","total":0,"from":"2026-11-20T10:00:00Z","rows":[],"nodes":[{"node":"a"}]}`})
	_, out, _ := f.run("", "top", "--from", "2026-11-20T10:00:00Z")
	wantLines(t, out, "2026-11-20 10:00:00 UTC to now as node a (all 1 node) hears it: by method, sorted by rate, 0 lines", "nothing was counted")
}

func TestTopShowsCallers(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/registry": registered, "/v1/stats/callers": `{"node":"a","over_seconds":600,"nodes":[{"node":"a"}],
		"callers":[{"caller":"web","calls":7200,"per_second":12,"peak_minute":800,"last":"2026-11-20T10:07:00Z"}]}`})
	code, out, errs := f.run("", "top", "--callers", "fishtrade.SendRocket", "--over", "10m")
	if code != exitOK || errs != "" {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "who has called fishtrade.SendRocket in the last 10m, as node a hears it", "CALLER CALLS MEAN/S PEAK/MIN LAST", "web 7200 12 800 10:07 UTC")
	if got := f.questions("/v1/stats/callers")[0].query.Encode(); got != "method=SendRocket&module=fishtrade&over=10m0s&scope=mesh" {
		t.Errorf("asked %s", got)
	}
	f.answers["/v1/stats/callers"] = `{"node":"a","callers":[],"nodes":[]}`
	if _, out, _ := f.run("", "top", "--callers", "fishtrade"); out != "nobody has called fishtrade in the last 1h\n" {
		t.Errorf("%q", out)
	}
	f.answers["/v1/stats/callers"] = `{"node":"a","callers":[],"nodes":[{"node":"a","lack":"calls before its start at 10:00:00 UTC"},{"node":"b"}]}`
	_, out, errs = f.run("", "top", "--callers", "fishtrade")
	if out != "nobody is known to have called fishtrade in the last 1h\n" || errs != "twohop: node a has not counted all of it: calls before its start at 10:00:00 UTC\n" {
		t.Errorf("got %q, %q", out, errs)
	}
}

func TestTopRefusesWhatItCannotShow(t *testing.T) {
	for says, args := range map[string][]string{
		`--by is "node", must be method, module`:               {"--by", "node"},
		`--sort is "calls", must be rate, entered`:             {"--sort", "calls"},
		`--limit is 0, must be 1 to 10000`:                     {"--limit", "0"},
		`--method needs --module`:                              {"--method", "x"},
		`--callers is about the time until now`:                {"--callers", "x", "--from", "1h"},
		`--to and --step need --from`:                          {"--step", "5m"},
		`--by node-load shows what nodes have now`:             {"--by", "node-load", "--module", "x"},
		`--over needs --callers`:                               {"--over", "5m"},
		`--over is 2h0m0s, must be 1m to 1h: --by caller with`: {"--callers", "x", "--over", "2h"},
	} {
		if code, _, errs := newFakeNode(t, nil).run("", append([]string{"top"}, args...)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%q: %d, %q, want %s", args, code, errs, says)
		}
	}
	f := newFakeNode(t, map[string]string{"/v1/stats": `404 {"error":"there is no /v1/stats","paths":["/v1/info"]}`})
	if code, _, errs := f.run("", "top", "--once"); code != exitUsage || !strings.Contains(errs, "does not know /v1/stats: it is older than this command") ||
		!strings.Contains(errs, "`twohop top --by node-load` shows what it has") {
		t.Errorf("%d, %q", code, errs)
	}
}

// TestKeysChangeWhatIsShown: each key leads to another question.
func TestKeysChangeWhatIsShown(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/stats": counted, "/v1/load": `{"node":"a","mesh":"m","nodes":[{"node":"a","uptime_seconds":5}]}`})
	client, err := adminclient.New(f.address)
	if err != nil {
		t.Fatal(err)
	}
	flags := topFlags{by: "method", sort: "rate"}
	s := flags.source(t.Context(), client, &top{out: io.Discard}).(*switching)
	s.rows = func() int { return 40 }
	for _, press := range []struct {
		key  byte
		does bool
		by   string
		sort string
	}{
		{'m', false, "", ""}, {'x', false, "", ""}, {'c', true, "caller", "rate"}, {'o', true, "module", "rate"}, {'m', true, "method", "rate"},
		{'>', true, "method", "entered"}, {'<', true, "method", "rate"}, {'<', true, "method", "name"}, {'>', true, "method", "rate"},
	} {
		if did := s.key(press.key); did != press.does {
			t.Fatalf("%c: %t", press.key, did)
		}
		if !press.does {
			continue
		}
		if p, err := s.read(); err != nil || p == nil {
			t.Fatal(err)
		}
		asked := f.questions("/v1/stats")
		if q := asked[len(asked)-1].query; q.Get("by") != press.by || q.Get("sort") != press.sort || q.Get("limit") != "34" {
			t.Errorf("%c: asked %v", press.key, q)
		}
	}
	if !s.key('n') || s.key('>') {
		t.Error("n and then >")
	}
	for i, shown := range []bool{false, true, false, true} { // rates need two readings, and none of before
		if i == 2 && !(s.key('c') && s.key('n')) {
			t.Error("c and then n")
		}
		if p, err := s.read(); err != nil || (p != nil) != shown {
			t.Errorf("%v, %v", p, err)
		}
	}
}

func TestWhatWasCountedIsExported(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/stats/export": "{\"a\":1}\n{\"a\":2}\n"})
	code, out, errs := f.run("", "stats", "export", "--from", "24h", "--to", "1h")
	if code != exitOK || errs != "" || out != "{\"a\":1}\n{\"a\":2}\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if got := f.questions("/v1/stats/export")[0].query.Encode(); got != "from=24h&to=1h" {
		t.Errorf("asked %s", got)
	}
	f.answers["/v1/stats/export"] = `400 {"error":"from is \"x\", must be a time"}`
	if code, out, errs := f.run("", "stats", "export", "--from", "x"); code != exitUsage || out != "" || !strings.Contains(errs, `from is "x", must be a time`) {
		t.Errorf("%d, %q", code, errs)
	}
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{\"a\":1}\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	}))
	defer breaks.Close()
	f.address = strings.TrimPrefix(breaks.URL, "http://")
	if code, out, errs := f.run("", "stats", "export"); code != exitUsage || out != "{\"a\":1}\n" || !strings.Contains(errs, "the export broke off, and the lines are not all") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}
