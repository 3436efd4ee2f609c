package stats

import (
	"time"
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
