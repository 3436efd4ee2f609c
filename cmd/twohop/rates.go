package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

// reading is what top shows at once.
type reading struct {
	Time  time.Time `json:"time"`
	Node  string    `json:"node"` // that was asked
	Mesh  string    `json:"mesh"`
	Nodes []rate    `json:"nodes"`
}

// rate says how busy a node was between two readings.
type rate struct {
	Node     string   `json:"node"`
	Error    string   `json:"error,omitempty"` // why it was not heard; then the rest is empty
	State    string   `json:"state,omitempty"`
	Uptime   float64  `json:"uptime_seconds"`
	Interval float64  `json:"interval_seconds"` // 0: the node has no reading before this one, and there are no rates
	Calls    float64  `json:"calls_per_second"`
	OneHop   *float64 `json:"one_hop_share,omitempty"` // of the attempts, 0 to 1; missing: there were none
	TwoHop   *float64 `json:"two_hop_share,omitempty"`
	Errors   failures `json:"errors_per_second"`
	InFlight int64    `json:"in_flight"`
	Sessions int      `json:"sessions"`
	// Instances are those whose sessions are at this node; one that is logged in to two nodes counts at both.
	Instances int     `json:"instances"`
	Links     int     `json:"links"`
	LinksUp   int     `json:"links_up"`
	Troubles  int     `json:"troubles"`
	CPU       float64 `json:"cpu_percent"` // of one core
	Memory    uint64  `json:"memory_bytes"`
}

// failures are answers that were no success, by what is true of the handler.
type failures struct {
	NotExecuted float64 `json:"not_executed"`
	Executed    float64 `json:"executed"`
	Unknown     float64 `json:"unknown"`
}

// rates makes one reading of two.
func rates(before, now adminclient.Loads) reading {
	r := reading{Time: time.Now().UTC().Truncate(time.Millisecond), Node: now.Node, Mesh: now.Mesh, Nodes: []rate{}}
	for i := range now.Nodes {
		n := &now.Nodes[i]
		one := rate{
			Node: n.Node, Error: n.Error, State: n.State, Uptime: n.Uptime, InFlight: n.InFlight, Sessions: n.Sessions,
			Instances: n.Instances, Links: n.Links, LinksUp: n.LinksUp, Troubles: n.Troubles, Memory: n.Memory,
		}
		for j := range before.Nodes {
			if b := &before.Nodes[j]; b.Node == n.Node && b.Error == "" && n.Error == "" && n.Started.Equal(b.Started) && n.Uptime > b.Uptime {
				one.over(b, n) // else it was started anew, and its totals, too
			}
		}
		r.Nodes = append(r.Nodes, one)
	}
	slices.SortFunc(r.Nodes, func(x, y rate) int { return cmp.Compare(x.Node, y.Node) })
	return r
}

// over fills in what needs two readings of one run of a node.
func (r *rate) over(b, n *adminclient.Load) {
	r.Interval = n.Uptime - b.Uptime
	per := func(before, now uint64) float64 { return float64(now-min(before, now)) / r.Interval }
	of := func(class string) float64 { return per(b.Settled[class], n.Settled[class]) }
	r.Errors = failures{of("NOT_EXECUTED"), of("EXECUTED"), of("UNKNOWN")}
	r.Calls = of("SUCCESS") + r.Errors.NotExecuted + r.Errors.Executed + r.Errors.Unknown
	r.CPU = max(0, 100*(n.CPU-b.CPU)/r.Interval)
	one, two := per(b.OneHop, n.OneHop), per(b.TwoHop, n.TwoHop)
	if one+two > 0 {
		one, two = one/(one+two), two/(one+two)
		r.OneHop, r.TwoHop = &one, &two
	}
}

func (r *reading) print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "mesh %s as node %s hears it, %s\n\n", output.Line(r.Mesh), output.Line(r.Node), r.Time.Format(time.TimeOnly+" UTC")); err != nil {
		return err
	}
	rows := make([][]string, 0, len(r.Nodes))
	var why []string
	for i := range r.Nodes {
		n := &r.Nodes[i]
		if n.Error != "" {
			rows = append(rows, []string{n.Node, "not heard"})
			why = append(why, fmt.Sprintf("\n%s was not heard: %s", output.Line(n.Node), output.Line(n.Error)))
			continue
		}
		rows = append(rows, n.row())
	}
	heads := []string{"NODE", "STATE", "UP", "CALLS/S", "1 HOP", "2 HOPS", "NOT EXEC/S", "EXEC/S", "UNKNOWN/S", "IN FLIGHT", "SESSIONS", "INSTANCES", "LINKS", "CPU", "MEMORY"}
	for i := range rows {
		for len(rows[i]) < len(heads) {
			rows[i] = append(rows[i], "")
		}
	}
	if err := output.Table(w, heads, rows); err != nil {
		return err
	}
	if len(why) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, strings.Join(why, ""))
	return err
}

func (r *rate) row() []string {
	state, links := r.State, fmt.Sprintf("%d/%d", r.LinksUp, r.Links)
	if r.Troubles > 0 {
		links += " !" // twohop links says what it is
	}
	cells := []string{r.Node, strings.ReplaceAll(state, "_", " "), output.Age(r.Uptime)}
	if r.Interval > 0 {
		cells = append(cells, perSecond(r.Calls), share(r.OneHop), share(r.TwoHop), perSecond(r.Errors.NotExecuted),
			perSecond(r.Errors.Executed), perSecond(r.Errors.Unknown))
	} else {
		cells = append(cells, "", "", "", "", "", "")
	}
	cells = append(cells, strconv.FormatInt(r.InFlight, 10), strconv.Itoa(r.Sessions), strconv.Itoa(r.Instances), links)
	if r.Interval > 0 {
		cells = append(cells, fmt.Sprintf("%.0f%%", r.CPU))
	} else {
		cells = append(cells, "")
	}
	return append(cells, output.Bytes(r.Memory))
}

// perSecond writes small rates with a digit behind the point; what is not 0 is never shown as 0.
func perSecond(v float64) string {
	switch {
	case v > 0 && v < 0.05:
		return "<0.1"
	case v > 0 && v < 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func share(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100**v)
}
