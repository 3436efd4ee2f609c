package admin

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// metricsHandler answers /metrics from a registry of its own.
func metricsHandler(src *Sources) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(src),
	)
	if src.Stats != nil {
		r.MustRegister(src.Stats.Collector())
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// collector reads the rooms' counters when it is asked. Labels have few values, all of them known: never a module, a
// caller or a method, which the statistics have in metrics of their own.
type collector struct {
	src *Sources

	info, started                                         *prometheus.Desc
	submitted, settled, codes, inFlight, kept             *prometheus.Desc
	oneWay, oneWayRefused, reroutes, retries, stale       *prometheus.Desc
	retriesDenied, attempts, transit, transitOneWay       *prometheus.Desc
	staleRoutes, noRoutes, asked, holdDowns               *prometheus.Desc
	registrations, replaced, modules, instances, methods  *prometheus.Desc
	connections, refused, opened, open, answers, breaches *prometheus.Desc
	cancels, badOneWay, slow                              *prometheus.Desc
	frames, bytes, queued                                 *prometheus.Desc

	linkUp, linkState, linkRTT, linkUnanswered, linkCalls *prometheus.Desc
	linkFrames, linkBytes, linkQueued, entries, trouble   *prometheus.Desc

	governing
}

func newCollector(src *Sources) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("twohop_"+name, help, labels, nil)
	}
	return &collector{
		src:       src,
		governing: newGoverning(desc),
		info:      desc("node_info", "The node; always 1.", "node", "mesh", "version"),
		started:   desc("node_start_time_seconds", "When the node started, Unix time."),

		submitted: desc("calls_submitted_total", "Calls that entered here."),
		settled:   desc("calls_settled_total", "Calls that were answered, by what is true of their handlers.", "class"),
		codes:     desc("call_codes_total", "Calls that were answered, by status code.", "class", "code"),
		inFlight:  desc("calls_in_flight", "Calls that entered here and are not answered."),
		kept:      desc("calls_kept_bytes", "Memory of requests that are kept for another attempt."),

		oneWay:        desc("oneway_calls_total", "One-way calls that were handed on."),
		oneWayRefused: desc("oneway_calls_refused_total", "One-way calls that were dropped, by reason.", "reason"),
		reroutes:      desc("call_reroutes_total", "Attempts that were made again because the one before had not started."),
		retries:       desc("call_retries_total", "Attempts that were made again although the one before may have run."),
		retriesDenied: desc("call_retries_denied_total", "Such attempts that were not made, because the caller's retries at the module were used up."),
		stale:         desc("call_stale_ends_total", "Ends of attempts that came after another one, and were dropped."),

		attempts:      desc("call_attempts_total", "Attempts of calls that entered here, by how many nodes they cross.", "hops"),
		transit:       desc("transit_calls_settled_total", "Calls that another node took in for an instance here, by class.", "class"),
		transitOneWay: desc("transit_oneway_calls_total", "One-way calls that another node took in for an instance here.", "result"),
		staleRoutes:   desc("stale_routes_total", "Attempts whose session was gone: of this node's calls, and of other nodes' calls here.", "side"),
		noRoutes:      desc("no_routes_total", "Calls whose instances are all at nodes that are not reached."),
		asked:         desc("questions_settled_total", "Questions of this node to others, by class.", "class"),
		holdDowns:     desc("registrations_held_down_total", "Names that processes took from each other too often."),

		registrations: desc("registrations_total", "Instances that registered."),
		replaced:      desc("registrations_replaced_total", "Instances that another one of the same name replaced."),
		modules:       desc("modules", "Modules that are registered."),
		instances:     desc("instances", "Instances that are registered, by whether they can be chosen.", "state"),
		methods:       desc("methods", "Methods of all modules that are registered."),

		connections: desc("connections_accepted_total", "Connections of modules."),
		refused:     desc("connections_refused_total", "Connections that ended before they were logged in."),
		opened:      desc("sessions_opened_total", "Sessions that were logged in."),
		open:        desc("sessions", "Connections that are open, by state and role; the role is empty before the login.", "state", "role"),
		answers:     desc("session_answers_dropped_total", "Answers that were not handed on as they came, by reason.", "reason"),
		cancels:     desc("session_unknown_cancels_total", "Cancels of calls that were not in flight."),
		badOneWay:   desc("session_bad_oneway_total", "One-way calls that were malformed."),
		breaches:    desc("session_breaches_total", "Connections ended by a breach of the protocol."),
		slow:        desc("session_slow_total", "Connections ended because the module did not read."),

		// Sums over what is open now: they fall when a session ends, so they are no counters.
		frames: desc("open_sessions_frames", "Frames of the sessions that are open now, since they opened.", "direction"),
		bytes:  desc("open_sessions_bytes", "Bytes of the sessions that are open now, since they opened.", "direction"),
		queued: desc("sessions_queued_bytes", "Bytes that wait to be written to modules."),

		linkUp:         desc("link_up", "Whether the link to a node carries calls: 1 or 0.", "peer"),
		linkState:      desc("link_state_seconds", "How long the link to a node has been in the state that it is in.", "peer", "state"),
		linkRTT:        desc("link_rtt_seconds", "Time from a heartbeat to its answer, of late.", "peer"),
		linkUnanswered: desc("link_oldest_unanswered_seconds", "Age of the oldest frame that the peer has not answered.", "peer"),
		linkCalls:      desc("link_in_flight", "Calls that wait for the peer's answer.", "peer"),
		linkFrames:     desc("link_frames_total", "Frames of a link.", "peer", "direction"),
		linkBytes:      desc("link_bytes_total", "Bytes of a link.", "peer", "direction"),
		linkQueued:     desc("link_queued_bytes", "Bytes that wait to be written to a peer.", "peer"),
		entries:        desc("registry_entries", "Sessions that a peer has announced.", "peer"),
		trouble:        desc("trouble", "What an operator must hear of; 1 while it lasts.", "kind", "peer"),
	}
}

// Describe says nothing: which series there are is known when they are read.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all counters.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	e := emitter{to}
	e.gauge(c.info, 1, c.src.Node, c.src.Mesh, c.src.Version)
	e.gauge(c.started, float64(c.src.Started.UnixMilli())/1000)
	c.collectCalls(e)
	c.collectRegistry(e)
	c.collectSessions(e)
	c.collectLinks(e)
	c.collectRules(e, c.src)
	c.collectAlarms(e, c.src)
}

func (c *collector) collectCalls(e emitter) {
	n := c.src.Router.Counters()
	e.counter(c.submitted, n.Submitted.Load())
	for i := range n.Settled {
		e.counter(c.settled, n.Settled[i].Load(), c.src.Classes[i])
	}
	assigned := make(map[int]bool, len(c.src.Codes))
	for _, code := range c.src.Codes {
		assigned[code.Number] = true
		e.counter(c.codes, n.Codes[code.Number].Load(), code.Class, code.Name)
		if refused := n.OneWayRefused[code.Number].Load(); refused > 0 {
			e.counter(c.oneWayRefused, refused, code.Name)
		}
	}
	var other uint64
	for i := range n.Codes {
		if !assigned[i] {
			other += n.Codes[i].Load()
		}
	}
	e.counter(c.codes, other, "", "other") // of modules that are newer than this node
	calls, kept := c.src.Router.InFlight()
	e.gauge(c.inFlight, float64(calls))
	e.gauge(c.kept, float64(kept))
	e.counter(c.oneWay, n.OneWay.Load())
	e.counter(c.reroutes, n.Reroutes.Load())
	e.counter(c.retries, n.Retries.Load())
	e.counter(c.retriesDenied, n.RetriesDenied.Load())
	e.counter(c.stale, n.Stale.Load())
	e.counter(c.registrations, n.Registrations.Load())
	e.counter(c.replaced, n.Replaced.Load())
	e.counter(c.holdDowns, n.HoldDowns.Load())
	c.collectMesh(e, n)
}

// collectMesh has what is counted of calls between nodes.
func (c *collector) collectMesh(e emitter, n *router.Counters) {
	e.counter(c.attempts, n.OneHop.Load(), "1")
	e.counter(c.attempts, n.TwoHop.Load(), "2")
	for i, class := range c.src.Classes {
		e.counter(c.transit, n.Transit.Settled[i].Load(), class)
		e.counter(c.asked, n.Asked.Settled[i].Load(), class)
	}
	e.counter(c.staleRoutes, n.StaleRoutes.Load(), "ingress")
	e.counter(c.staleRoutes, n.Transit.StaleRoutes.Load(), "owner")
	e.counter(c.noRoutes, n.NoRoutes.Load())
	var refused uint64
	for i := range n.Transit.OneWayRefused {
		refused += n.Transit.OneWayRefused[i].Load()
	}
	e.counter(c.transitOneWay, n.Transit.OneWay.Load(), "delivered")
	e.counter(c.transitOneWay, refused, "refused")
}

func (c *collector) collectRegistry(e emitter) {
	modules := c.src.Router.Registry(c.src.Now())
	var ready, draining, methods int
	for _, m := range modules {
		methods += len(m.Methods)
		for _, i := range m.Instances {
			if i.Draining {
				draining++
			} else {
				ready++
			}
		}
	}
	e.gauge(c.modules, float64(len(modules)))
	e.gauge(c.methods, float64(methods))
	e.gauge(c.instances, float64(ready), "ready")
	e.gauge(c.instances, float64(draining), "draining")
}

func (c *collector) collectSessions(e emitter) {
	n := c.src.SessionCounts()
	e.counter(c.connections, n.Accepted)
	e.counter(c.refused, n.Refused)
	e.counter(c.opened, n.Opened)
	e.counter(c.answers, n.LateAnswers, "late")
	e.counter(c.answers, n.BrokenAnswers, "broken")
	e.counter(c.answers, n.LostAnswers, "lost")
	e.counter(c.cancels, n.UnknownCancels)
	e.counter(c.badOneWay, n.BadOneWay)
	e.counter(c.breaches, n.Breaches)
	e.counter(c.slow, n.Slow)

	type kind struct{ state, role string }
	open := make(map[kind]int)
	var sum Session
	for _, s := range c.src.Sessions() {
		open[kind{s.State, s.Role}]++
		sum.FramesIn += s.FramesIn
		sum.FramesOut += s.FramesOut
		sum.BytesIn += s.BytesIn
		sum.BytesOut += s.BytesOut
		sum.QueuedBytes += s.QueuedBytes
	}
	for k, n := range open {
		e.gauge(c.open, float64(n), k.state, k.role)
	}
	e.gauge(c.frames, float64(sum.FramesIn), "in")
	e.gauge(c.frames, float64(sum.FramesOut), "out")
	e.gauge(c.bytes, float64(sum.BytesIn), "in")
	e.gauge(c.bytes, float64(sum.BytesOut), "out")
	e.gauge(c.queued, float64(sum.QueuedBytes))
}

// collectLinks has a peer in its labels: there are as many as the list of members has.
func (c *collector) collectLinks(e emitter) {
	own := c.src.ownLinks()
	seen := make(map[string]bool)
	for i := range own.Links {
		l := &own.Links[i]
		if seen[l.Peer] {
			continue
		}
		seen[l.Peer] = true
		up := 0.0
		if l.State == "up" {
			up = 1
		}
		e.gauge(c.linkUp, up, l.Peer)
		e.gauge(c.linkState, l.Seconds, l.Peer, l.State)
		e.gauge(c.linkRTT, float64(l.RTTMicros)/1e6, l.Peer)
		e.gauge(c.linkUnanswered, float64(l.UnansweredMS)/1e3, l.Peer)
		e.gauge(c.linkCalls, float64(l.InFlight), l.Peer)
		e.counter(c.linkFrames, l.FramesIn, l.Peer, "in")
		e.counter(c.linkFrames, l.FramesOut, l.Peer, "out")
		e.counter(c.linkBytes, l.BytesIn, l.Peer, "in")
		e.counter(c.linkBytes, l.BytesOut, l.Peer, "out")
		e.gauge(c.linkQueued, float64(l.QueuedBytes), l.Peer)
		e.gauge(c.entries, float64(l.Entries), l.Peer)
	}
	said := make(map[[2]string]bool)
	for _, t := range own.Troubles {
		if of := [2]string{t.Kind, t.Peer}; !said[of] {
			said[of] = true
			e.gauge(c.trouble, 1, t.Kind, t.Peer)
		}
	}
}

// emitter sends metrics.
type emitter struct{ to chan<- prometheus.Metric }

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
