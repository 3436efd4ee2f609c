package adminclient

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Stats is what was counted, mesh-wide.
type Stats struct {
	Node  string     `json:"node"`
	From  time.Time  `json:"from,omitzero"` // of the past
	To    time.Time  `json:"to,omitzero"`
	Rows  []StatsRow `json:"rows"`
	Total int        `json:"total"` // rows that there are, of which Rows may be the first ones
	Nodes []Heard    `json:"nodes"` // that were asked
}

// StatsRow is what was counted of some calls.
type StatsRow struct {
	Time     time.Time         `json:"time,omitzero"`
	Module   string            `json:"module,omitempty"`
	Method   string            `json:"method,omitempty"`
	Caller   string            `json:"caller,omitempty"`
	Nodes    int               `json:"nodes,omitempty"`
	Over     float64           `json:"over_s"` // seconds that the counts are of
	Entered  uint64            `json:"entered"`
	Started  uint64            `json:"started"`
	Finished uint64            `json:"finished"`
	InFlight int64             `json:"in_flight"`
	Rate1    float64           `json:"rate_1s"`
	Rate10   float64           `json:"rate_10s"`
	Rate60   float64           `json:"rate_60s"`
	Peak     uint64            `json:"peak,omitempty"`
	Classes  map[string]uint64 `json:"classes,omitempty"` // success, not_executed, executed, unknown
	Codes    map[string]uint64 `json:"codes,omitempty"`
	SumUS    uint64            `json:"sum_us"`
	P50US    uint64            `json:"p50_us"`
	P90US    uint64            `json:"p90_us"`
	P99US    uint64            `json:"p99_us"`
}

// Callers says who calls a module or a method, mesh-wide.
type Callers struct {
	Node    string       `json:"node"`
	Seconds float64      `json:"over_seconds"`
	Callers []CallerRate `json:"callers"`
	Nodes   []Heard      `json:"nodes"`
}

// CallerRate says how much one caller calls.
type CallerRate struct {
	Caller     string    `json:"caller"`
	Calls      uint64    `json:"calls"`
	PerSecond  float64   `json:"per_second"` // the mean
	PeakMinute uint64    `json:"peak_minute"`
	Last       time.Time `json:"last,omitzero"` // the minute of the last call
}

// Stats asks all nodes what they have counted. The question has by, module, method, caller, sort, limit, from, to.
func (c *Client) Stats(ctx context.Context, question map[string]string) (s Stats, err error) {
	err = c.get(ctx, "/v1/stats?scope=mesh&"+query(question), &s)
	return s, err
}

// Callers asks all nodes who calls a module, or a method of it if that is not empty.
func (c *Client) Callers(ctx context.Context, module, method string, over time.Duration) (list Callers, err error) {
	err = c.get(ctx, "/v1/stats/callers?scope=mesh&"+query(map[string]string{"module": module, "method": method, "over": over.String()}), &list)
	return list, err
}

// ExportStats writes what one node has counted, a line of JSON for each subject and minute, for as long as ctx allows.
func (c *Client) ExportStats(ctx context.Context, from, to string, w io.Writer) error {
	patient := *c.http
	patient.Timeout = 0 // it may be much
	response, err := c.open(ctx, &patient, call{method: http.MethodGet, path: "/v1/stats/export?" + query(map[string]string{"from": from, "to": to})})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	_, err = io.Copy(w, response.Body)
	return err
}
