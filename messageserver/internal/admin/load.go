package admin

import (
	"context"
	"net/http"
	"runtime/metrics"
	"time"
)

// load says how busy a node is. Totals count from the node's start; who wants a rate reads twice and divides by the
// difference of uptime_seconds, if started is the same.
type load struct {
	Node    string    `json:"node"`
	Number  int       `json:"number"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
	State   string    `json:"state"` // ready, draining, not_ready

	Sessions  int `json:"sessions"`
	Servers   int `json:"servers"`   // sessions that serve a module
	Instances int `json:"instances"` // that are registered at this node
	Links     int `json:"links"`
	LinksUp   int `json:"links_up"`
	Troubles  int `json:"troubles"`

	InFlight  int64             `json:"in_flight"`
	Submitted uint64            `json:"submitted_total"`
	Settled   map[string]uint64 `json:"settled_total"` // by class
	OneWay    uint64            `json:"oneway_total"`
	OneHop    uint64            `json:"one_hop_total"` // attempts that went to a session of this node
	TwoHop    uint64            `json:"two_hop_total"` // attempts that went over a link
	Transit   uint64            `json:"transit_total"` // calls that came over a link

	LinkFramesIn  uint64 `json:"link_frames_in"`
	LinkFramesOut uint64 `json:"link_frames_out"`
	LinkBytesIn   uint64 `json:"link_bytes_in"`
	LinkBytesOut  uint64 `json:"link_bytes_out"`

	Goroutines int     `json:"goroutines"`
	Heap       uint64  `json:"heap_bytes"`   // objects, also those that are garbage by now
	Memory     uint64  `json:"memory_bytes"` // what the process has from the system, less what it gave back
	CPU        float64 `json:"cpu_seconds"`  // of the process, user and system; 0 where the system does not tell
}

func (src *Sources) ownLoad() load {
	l := load{
		Node: src.Node, Number: src.Number, Version: src.Version, Started: src.Started.UTC(), Uptime: time.Since(src.Started).Seconds(), State: "ready",
		Settled: make(map[string]uint64), CPU: cpuSeconds(),
	}
	switch {
	case src.Draining():
		l.State = "draining"
	case !src.Listening():
		l.State = "not_ready"
	}
	for _, s := range src.Sessions() {
		l.Sessions++
		if s.Role == "server" || s.Role == "both" {
			l.Servers++
		}
	}
	for _, m := range src.ownModules() {
		l.Instances += len(m.Instances)
	}
	l.count(src)
	l.measure()
	return l
}

// count reads the counters of calls and links.
func (l *load) count(src *Sources) {
	n := src.Router.Counters()
	l.Submitted = n.Submitted.Load()
	for i := range n.Settled {
		l.Settled[src.Classes[i]] = n.Settled[i].Load()
	}
	l.OneWay = n.OneWay.Load()
	l.InFlight, _ = src.Router.InFlight()
	l.OneHop, l.TwoHop, l.Transit = n.OneHop.Load(), n.TwoHop.Load(), n.Transit.Submitted.Load()
	own := src.ownLinks()
	l.Links, l.Troubles = len(own.Links), len(own.Troubles)
	for i := range own.Links {
		link := &own.Links[i]
		if link.State == "up" {
			l.LinksUp++
		}
		l.LinkFramesIn += link.FramesIn
		l.LinkFramesOut += link.FramesOut
		l.LinkBytesIn += link.BytesIn
		l.LinkBytesOut += link.BytesOut
	}
}

// measure asks the runtime, which does not stop the program for it.
func (l *load) measure() {
	samples := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	number := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // of a runtime that does not have it any more
		}
		return samples[i].Value.Uint64()
	}
	l.Goroutines, l.Heap, l.Memory = int(number(0)), number(1), number(2)-min(number(2), number(3))
}

// load answers /v1/load.
func (s *Server) load(w http.ResponseWriter, r *http.Request) {
	type row struct {
		Node  string `json:"node"`
		Error string `json:"error,omitempty"` // why it was not heard
		*load        // nil if it was not heard
	}
	everywhere, err := readScope(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	all := s.hear(r.Context(), everywhere)
	rows := make([]row, 0, len(all))
	for i := range all {
		one := row{Node: all[i].node, Error: reason(all[i].err)}
		if all[i].err == nil {
			one.load = &all[i].said
		}
		rows = append(rows, one)
	}
	answer(w, http.StatusOK, struct {
		Node  string `json:"node"`
		Mesh  string `json:"mesh"`
		Nodes []row  `json:"nodes"`
	}{s.src.Node, s.src.Mesh, rows})
}

// hear returns the load of this node, or of all.
func (s *Server) hear(ctx context.Context, everywhere bool) []heard[load] {
	if !everywhere {
		return []heard[load]{{node: s.src.Node, said: s.src.ownLoad()}}
	}
	return gather(ctx, &s.src, s.src.ownLoad, asked[load](&s.src, "Load"))
}
