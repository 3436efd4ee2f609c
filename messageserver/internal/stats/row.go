package stats

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Row is what was counted of some calls. Rows of several nodes add up: see Merge. What a row is grouped by is set, the rest of the
// names is empty.
type Row struct {
	// Time is when the row's part of the past begins; zero where it is about now.
	Time time.Time `json:"time,omitzero"`

	Module string `json:"module,omitempty"`
	Method string `json:"method,omitempty"`
	Caller string `json:"caller,omitempty"`

	// Nodes is how many nodes have counted.
	Nodes int `json:"nodes,omitempty"`

	// Over is the time that the counts below are of, in seconds: of a live row the last full minute and the running one, or,
	// with Query.Total, since the node has started.
	Over float64 `json:"over_s"`

	Entered  uint64 `json:"entered"`  // calls that came in
	Started  uint64 `json:"started"`  // attempts that were sent to instances; a call may have several, or none
	Finished uint64 `json:"finished"` // calls that were answered, which may have entered before

	// Of live rows. Rates are calls that entered per second, over the last 1, 10 and 60 full seconds.
	InFlight int64   `json:"in_flight,omitempty"`
	Rate1    float64 `json:"rate_1s,omitempty"`
	Rate10   float64 `json:"rate_10s,omitempty"`
	Rate60   float64 `json:"rate_60s,omitempty"`

	// Peak is the most calls that entered in one second: of a live row of one node, in the last 60; else the largest peak
	// of a node's subject's minute, which is the least that it can have been.
	Peak uint64 `json:"peak,omitempty"`

	// Classes are finished calls by success, not_executed, executed and unknown; Codes by the name of the status code.
	Classes map[string]uint64 `json:"classes,omitempty"`
	Codes   map[string]uint64 `json:"codes,omitempty"`

	// Times of finished calls in the node, in µs. The quantiles are at most 12.5 % wrong.
	SumUS uint64    `json:"sum_us"`
	Hist  Histogram `json:"hist,omitempty"`
	P50US uint64    `json:"p50_us,omitempty"`
	P90US uint64    `json:"p90_us,omitempty"`
	P99US uint64    `json:"p99_us,omitempty"`
}

// CallerRate says how much one caller calls: what a switch would hit.
type CallerRate struct {
	Caller     string    `json:"caller"`
	Calls      uint64    `json:"calls"`      // that entered in the time that was asked about
	PerSecond  float64   `json:"per_second"` // their mean over it
	PeakMinute uint64    `json:"peak_minute"`
	Last       time.Time `json:"last,omitzero"` // the minute of the last call
}

// Deviation is something that is not as it was.
type Deviation struct {
	Module   string    `json:"module"`
	Method   string    `json:"method"`
	What     string    `json:"what"`     // calls, failures, p99
	Is       float64   `json:"is"`       // calls in a minute, share of them, or µs
	Expected float64   `json:"expected"` // by the moving average
	Why      string    `json:"why"`
	Since    time.Time `json:"since"`
}

// Trouble is something that an operator must hear of.
type Trouble struct {
	Kind    string    `json:"kind"`    // StatsOverflow, StatsDisk, BaselineDeviation
	Subject string    `json:"subject"` // what it is about: a file, a method, or empty
	Cause   string    `json:"cause"`
	Since   time.Time `json:"since"`
}

// The kinds of Trouble.
const (
	StatsOverflow     = "stats_overflow"     // there are more subjects than are kept apart
	StatsDisk         = "stats_disk"         // rollups cannot be written
	BaselineDeviation = "baseline_deviation" // a method's calls are not as they were
)

// HandlerCounts is what an instance says of one of its methods, since it has started.
type HandlerCounts struct {
	Module   string `json:"module"`
	Instance string `json:"instance"` // one process: with the same two names it is the same counters
	Method   string `json:"method"`
	Started  uint64 `json:"started"`  // handlers that were run
	Finished uint64 `json:"finished"` // handlers that have returned
	Refused  uint64 `json:"refused"`  // requests that came and were not run: expired in the queue, overloaded, draining, denied
}

// Failures returns the finished calls that are no success.
func (r *Row) Failures() uint64 { return r.Finished - min(r.Finished, r.Classes[classNames[0]]) }

// classNames are indexed by wire.Class.
var classNames = [...]string{"success", "not_executed", "executed", "unknown"}

// fill sets what a node has counted in some time.
func (r *Row) fill(n name, t *tally, over time.Duration) {
	r.Module, r.Method, r.Caller, r.Nodes, r.Over = n.module, n.method, n.caller, 1, over.Seconds()
	r.Entered, r.Started, r.SumUS, r.Peak = t.entered, t.started, t.sumUS, t.peak
	r.Finished = t.codes.all()
	r.Codes = t.codes.byName()
	r.Classes = t.codes.byClass()
	r.Hist = t.histogram()
	r.quantiles()
}

func (r *Row) quantiles() {
	r.P50US, r.P90US, r.P99US = r.Hist.Quantile(0.5), r.Hist.Quantile(0.9), r.Hist.Quantile(0.99)
}

// byName returns counts by the names of their codes, without those that none has.
func (c codeCounts) byName() map[string]uint64 {
	names := make(map[string]uint64, len(c))
	for _, one := range c {
		if one.count > 0 {
			names[wire.Code(one.code).String()] = one.count
		}
	}
	return names
}

// byClass returns counts by class, without those that none has.
func (c codeCounts) byClass() map[string]uint64 {
	names := make(map[string]uint64, len(classNames))
	for class, n := range c.classes() {
		if n > 0 {
			names[classNames[class]] = n
		}
	}
	return names
}

// Merge adds up the rows of several nodes, those of the same time, module, method and caller to one. They are in the order in which
// they were first seen: Query.Arrange sorts and limits them. The rows that it is given stay as they are.
func Merge(nodes ...[]Row) []Row {
	type group struct {
		at int64
		name
	}
	index := make(map[group]int)
	var sum []Row
	for _, rows := range nodes {
		for i := range rows {
			r := &rows[i]
			g := group{r.Time.Unix(), name{r.Caller, r.Module, r.Method}}
			at, seen := index[g]
			if !seen {
				at = len(sum)
				index[g] = at
				sum = append(sum, Row{Time: r.Time, Module: r.Module, Method: r.Method, Caller: r.Caller})
			}
			sum[at].add(r)
		}
	}
	for i := range sum {
		sum[i].quantiles()
	}
	return sum
}

func (r *Row) add(o *Row) {
	r.Nodes += o.Nodes
	r.Over = max(r.Over, o.Over)
	r.Entered += o.Entered
	r.Started += o.Started
	r.Finished += o.Finished
	r.InFlight += o.InFlight
	r.Rate1 += o.Rate1
	r.Rate10 += o.Rate10
	r.Rate60 += o.Rate60
	r.Peak = max(r.Peak, o.Peak)
	r.SumUS += o.SumUS
	r.Classes = addCounts(r.Classes, o.Classes)
	r.Codes = addCounts(r.Codes, o.Codes)
	r.Hist = r.Hist.plus(o.Hist)
}

func addCounts(to, counts map[string]uint64) map[string]uint64 {
	if to == nil {
		to = make(map[string]uint64, len(counts))
	}
	for name, n := range counts {
		to[name] += n
	}
	return to
}
