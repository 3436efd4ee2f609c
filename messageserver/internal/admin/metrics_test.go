package admin

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/twohop/twohop/proto/wire"
)

func TestMetricsAreTheCounters(t *testing.T) {
	n := start(t)
	c := n.router.Counters()
	c.Submitted.Add(12)
	c.Settled[wire.NotExecuted].Add(5)
	c.Codes[wire.RateLimited].Add(4)
	c.Codes[60].Add(1) // of a newer version
	c.OneWay.Add(6)
	c.OneWayRefused[wire.NoModule].Add(7)
	c.Reroutes.Add(8)
	c.Retries.Add(9)
	c.RetriesDenied.Add(4)
	c.Stale.Add(10)
	c.Replaced.Add(11)
	c.HoldDowns.Add(12)
	c.OneHop.Add(13)
	c.TwoHop.Add(14)
	c.StaleRoutes.Add(15)
	c.NoRoutes.Add(16)
	c.Transit.Settled[wire.Success].Add(17)
	c.Transit.StaleRoutes.Add(18)
	c.Transit.OneWay.Add(19)
	c.Transit.OneWayRefused[wire.StaleRoute].Add(20)
	c.Asked.Settled[wire.Executed].Add(21)
	n.register("pay", "1", "Charge")
	n.register("pay", "2", "Charge", "Refund")
	n.counts = SessionCounts{
		Accepted: 21, Refused: 22, Opened: 23, LateAnswers: 24, BrokenAnswers: 25, LostAnswers: 26, UnknownCancels: 27,
		BadOneWay: 28, Breaches: 29, Slow: 30,
	}
	n.sessions = []Session{
		{State: "open", Role: "server", FramesIn: 1, FramesOut: 2, BytesIn: 3, BytesOut: 4, QueuedBytes: 5},
		{State: "open", Role: "server", FramesIn: 10, FramesOut: 20, BytesIn: 30, BytesOut: 40, QueuedBytes: 50},
		{State: "login"},
	}
	_, text, _ := n.get("/metrics")
	for _, want := range []string{
		`twohop_node_info{mesh="m",node="a",version="v1"} 1`,
		`twohop_node_start_time_seconds 1.7e+09`,
		`twohop_calls_submitted_total 12`,
		`twohop_calls_settled_total{class="NOT_EXECUTED"} 5`,
		`twohop_calls_settled_total{class="SUCCESS"} 0`,
		`twohop_call_codes_total{class="NOT_EXECUTED",code="RATE_LIMITED"} 4`,
		`twohop_call_codes_total{class="UNKNOWN",code="TIMEOUT"} 0`,
		`twohop_call_codes_total{class="",code="other"} 1`,
		`twohop_calls_in_flight 0`,
		`twohop_calls_kept_bytes 0`,
		`twohop_oneway_calls_total 6`,
		`twohop_oneway_calls_refused_total{reason="NO_MODULE"} 7`,
		`twohop_call_reroutes_total 8`,
		`twohop_call_retries_total 9`,
		`twohop_call_retries_denied_total 4`,
		`twohop_call_stale_ends_total 10`,
		`twohop_registrations_total 2`,
		`twohop_registrations_replaced_total 11`,
		`twohop_registrations_held_down_total 12`,
		`twohop_call_attempts_total{hops="1"} 13`,
		`twohop_call_attempts_total{hops="2"} 14`,
		`twohop_stale_routes_total{side="ingress"} 15`,
		`twohop_no_routes_total 16`,
		`twohop_transit_calls_settled_total{class="SUCCESS"} 17`,
		`twohop_stale_routes_total{side="owner"} 18`,
		`twohop_transit_oneway_calls_total{result="delivered"} 19`,
		`twohop_transit_oneway_calls_total{result="refused"} 20`,
		`twohop_questions_settled_total{class="EXECUTED"} 21`,
		`twohop_modules 1`,
		`twohop_instances{state="ready"} 2`,
		`twohop_instances{state="draining"} 0`,
		`twohop_methods 2`,
		`twohop_connections_accepted_total 21`,
		`twohop_connections_refused_total 22`,
		`twohop_sessions_opened_total 23`,
		`twohop_session_answers_dropped_total{reason="late"} 24`,
		`twohop_session_answers_dropped_total{reason="broken"} 25`,
		`twohop_session_answers_dropped_total{reason="lost"} 26`,
		`twohop_session_unknown_cancels_total 27`,
		`twohop_session_bad_oneway_total 28`,
		`twohop_session_breaches_total 29`,
		`twohop_session_slow_total 30`,
		`twohop_sessions{role="server",state="open"} 2`,
		`twohop_sessions{role="",state="login"} 1`,
		`twohop_open_sessions_frames{direction="in"} 11`,
		`twohop_open_sessions_frames{direction="out"} 22`,
		`twohop_open_sessions_bytes{direction="in"} 33`,
		`twohop_open_sessions_bytes{direction="out"} 44`,
		`twohop_sessions_queued_bytes 55`,
	} {
		if !slices.Contains(strings.Split(text, "\n"), want) {
			name, _, _ := strings.Cut(want, " ")
			name, _, _ = strings.Cut(name, "{")
			t.Errorf("missing %s; there is:\n%s", want, strings.Join(regexp.MustCompile(`(?m)^`+name+`[ {].*`).FindAllString(text, -1), "\n"))
		}
	}
	for _, family := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+family) {
			t.Errorf("missing %s", family)
		}
	}
	if strings.Contains(text, "pay") || strings.Contains(text, "Charge") {
		t.Error("a module or a method is a label: what is registered would decide how many series there are")
	}
}

func TestMetricsHaveTheLinks(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("a", "c", "waiting", "connection refused")
	b := &w.peers["a"].links[0]
	b.RTTMicros, b.UnansweredMS, b.InFlight, b.QueuedBytes, b.Entries = 1500, 250, 7, 8, 9
	b.FramesIn, b.FramesOut, b.BytesIn, b.BytesOut = 1, 2, 3, 4
	w.peers["a"].links = append(w.peers["a"].links, *b) // said twice by mistake: the other series must come all the same
	w.peers["a"].troubles = []Trouble{{Kind: "link_down", Peer: "c"}, {Kind: "link_down", Peer: "c"}}
	_, text, _ := w.nodes["a"].get("/metrics")
	for _, want := range []string{
		`twohop_link_up{peer="b"} 1`,
		`twohop_link_up{peer="c"} 0`,
		`twohop_link_state_seconds{peer="c",state="waiting"} 12`,
		`twohop_link_rtt_seconds{peer="b"} 0.0015`,
		`twohop_link_oldest_unanswered_seconds{peer="b"} 0.25`,
		`twohop_link_in_flight{peer="b"} 7`,
		`twohop_link_queued_bytes{peer="b"} 8`,
		`twohop_registry_entries{peer="b"} 9`,
		`twohop_link_frames_total{direction="in",peer="b"} 1`,
		`twohop_link_frames_total{direction="out",peer="b"} 2`,
		`twohop_link_bytes_total{direction="in",peer="b"} 3`,
		`twohop_link_bytes_total{direction="out",peer="b"} 4`,
		`twohop_trouble{kind="link_down",peer="c"} 1`,
	} {
		if !slices.Contains(strings.Split(text, "\n"), want) {
			t.Errorf("missing %s", want)
		}
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	n := start(t)
	n.sessions = []Session{{State: "open", Role: "both"}}
	n.router.Counters().OneWayRefused[wire.NoModule].Add(1)
	w := meet(t, "a", "b")
	w.peers["a"].troubles = []Trouble{{Kind: "link_slow", Peer: "b"}}
	n.peers = w.peers["a"]
	src := n.sources()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(&src))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	bounded := []string{"peer", "kind", "hops", "side", "result", "class", "code", "reason", "state", "role", "direction", "node", "mesh", "version"}
	for _, f := range families {
		for _, label := range f.GetMetric()[0].GetLabel() {
			if !slices.Contains(bounded, label.GetName()) {
				t.Errorf("%s has the label %s", f.GetName(), label.GetName())
			}
		}
	}
}

func TestMetricsAnswerHead(t *testing.T) {
	n := start(t)
	if status, _, _ := n.get("/metrics", func(r *http.Request) { r.Method = http.MethodHead }); status != http.StatusOK {
		t.Errorf("HEAD: %d", status)
	}
}
