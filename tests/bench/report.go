package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// report prints what was measured as soon as it is.
type report struct {
	json        bool
	out         io.Writer
	memoryGoals []judged
}

// judged is a goal and what was reached.
type judged struct {
	Goal  string  `json:"goal"`
	Must  float64 `json:"must"`
	Aim   float64 `json:"aim"`
	Is    float64 `json:"is"`
	Met   bool    `json:"met"`
	AtAim bool    `json:"aim_met"`
	least bool
}

func newReport(asJSON bool) *report { return &report{json: asJSON, out: os.Stdout} }

// object prints one line of JSON.
func (r *report) object(v any) {
	if err := json.NewEncoder(r.out).Encode(v); err != nil {
		panic(err) // of a figure that is no number
	}
}

// line is one result as JSON. Ratios are left out where the other one was not measured.
type line struct {
	Peer     string `json:"peer"`
	Hops     int    `json:"hops"`
	Payload  int    `json:"payload"`
	InFlight int    `json:"inflight"`
	Conns    int    `json:"conns"`
	figures
	CPU    map[string]float64 `json:"cpu_s_per_100k"`
	Memory int                `json:"node_memory_bytes,omitempty"`
	NATS   *float64           `json:"ratio_vs_nats,omitempty"`
	GRPC   *float64           `json:"ratio_vs_grpc,omitempty"`
	Floor  *float64           `json:"ratio_vs_floor,omitempty"`
	Failed string             `json:"failed,omitempty"`
}

// besides returns the ratios of a result to the contenders with as many hops, and to gRPC; nil for what was not measured.
func (all results) besides(r *result) (nats, grpc, floor *float64) {
	to := func(name string) *float64 {
		if ratio, ok := all.ratio(r.point, callsPerSecond, r.contender.name, name); ok {
			return &ratio
		}
		return nil
	}
	if r.contender.hops == 0 {
		return nil, to(direct), nil
	}
	hops := fmt.Sprint("-", r.contender.hops)
	return to("nats" + hops), to(direct), to("floor" + hops)
}

// point prints the results of one load.
func (r *report) point(all, turn results) {
	if r.json {
		for _, one := range turn {
			l := line{
				Peer: one.contender.peer, Hops: one.contender.hops, Payload: one.point.payload, InFlight: one.point.inFlight,
				Conns: one.point.conns, figures: one.figures, CPU: one.cpu, Memory: one.loaded,
			}
			l.NATS, l.GRPC, l.Floor = all.besides(one)
			l.Failed = one.reason()
			r.object(l)
		}
		return
	}
	if len(turn) == 0 {
		return
	}
	fmt.Fprintf(r.out, "\n%s: %d B, %d calls in flight over %d connections\n", turn[0].point, turn[0].point.payload, turn[0].point.inFlight, turn[0].point.conns)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcalls/s\tp50 µs\tp99 µs\tp99.9 µs\tvs NATS\tvs gRPC\tvs floor\tCPU: nodes\tcaller\tservices\tnode MiB\t")
	for _, one := range turn {
		if one.failed != nil {
			fmt.Fprintf(w, "%s\tfailed\t\t\t\t\t\t\t\t\t\t\t\n", one.contender.name)
			continue
		}
		nats, grpc, floor := all.besides(one)
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t\n", one.contender.name, one.CallsPerSecond, one.P50, one.P99, one.P999,
			times(nats), times(grpc), times(floor), nodeCPU(one), one.cpu["caller"], one.cpu["service_1"]+one.cpu["service_2"], float64(one.loaded)/(1<<20))
	}
	_ = w.Flush()
	for _, one := range turn {
		if one.failed != nil {
			fmt.Fprintf(r.out, "%s failed: %s\n", one.contender.name, one.reason())
		}
	}
}

func times(ratio *float64) string {
	if ratio == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", *ratio)
}

// memory prints what a broker holds, in all or for so many connections.
func (r *report) memory(name, when string, bytes, conns int) {
	each, unit, most := float64(bytes), "B", float64(mostAtRest)
	if conns > 0 {
		each, unit, most = each/float64(conns), "B per connection", mostPerIdle
	}
	if name == twohop1 {
		r.memoryGoals = append(r.memoryGoals, judge("memory "+when+", "+unit, each, most, most, false))
	}
	if r.json {
		r.object(map[string]any{"peer": name, "memory": when, "connections": conns, "bytes": bytes})
		return
	}
	fmt.Fprintf(r.out, "\nmemory of %s %s: %.1f KiB", name, when, each/1024)
	if conns > 0 {
		fmt.Fprintf(r.out, " each of %d connections", conns)
	}
	fmt.Fprintln(r.out)
}

func judge(name string, is, must, aim float64, least bool) judged {
	within := func(bound float64) bool { return least && is >= bound || !least && is <= bound }
	return judged{name, must, aim, is, within(must), within(aim), least}
}

// goals prints which of the goals that were measured are met.
func (r *report) goals(all results) {
	var judges []judged
	for _, g := range goals() {
		if is, ok := all.ratio(g.point, g.figure, g.contender, g.beside); ok {
			judges = append(judges, judge(fmt.Sprintf("%s %s: %s vs %s", g.point, g.name, g.contender, g.beside), is, g.must, g.aim, g.least))
		}
	}
	judges = slices.Concat(judges, r.memoryGoals)
	if r.json {
		for _, j := range judges {
			r.object(j)
		}
		return
	}
	fmt.Fprintln(r.out)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "goal\tmust\taim\tis\t")
	for _, j := range judges {
		sign, verdict := "≤", "MISSED"
		if j.least {
			sign = "≥"
		}
		switch {
		case j.AtAim:
			verdict = "met"
		case j.Met:
			verdict = "met, short of the aim"
		}
		fmt.Fprintf(w, "%s\t%s %.4g\t%.4g\t%.4g\t%s\n", j.Goal, sign, j.Must, j.Aim, j.Is, verdict)
	}
	_ = w.Flush()
}
