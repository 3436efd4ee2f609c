package stats

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// By says what rows are grouped by.
type By string

// What rows may be grouped by.
const (
	ByMethod       By = "method" // module and method
	ByModule       By = "module"
	ByCaller       By = "caller"
	ByCallerMethod By = "caller_method" // caller, module and method
	ByNothing      By = "nothing"       // one row of everything
)

// Sort says which rows come first.
type Sort string

// What comes first. All but SortName begin with the largest.
const (
	SortEntered  Sort = "entered"
	SortRate     Sort = "rate" // over the last minute; of the past, what entered
	SortInFlight Sort = "in_flight"
	SortFailures Sort = "failures" // finished calls that are no success
	SortTime     Sort = "time"     // all times together: what keeps instances busy
	SortP99      Sort = "p99"
	SortName     Sort = "name" // and by time before
)

// Query says what is asked for. The zero value asks for all methods, the most called first.
type Query struct {
	By By `json:"by,omitempty"` // default ByMethod

	// Only calls of this module, method, caller; empty: of any.
	Module string `json:"module,omitempty"`
	Method string `json:"method,omitempty"`
	Caller string `json:"caller,omitempty"`

	Sort  Sort `json:"sort,omitempty"`  // default SortEntered
	Limit int  `json:"limit,omitempty"` // rows; 0: all. A limit of several nodes' rows is set after Merge, by Arrange.

	// Total, of a live query, asks for what was counted since the node has started, in place of the last one to two minutes.
	Total bool `json:"total,omitempty"`

	// Of the past: from the minute of From on, and before To, which is now if it is zero.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Step makes rows for each such part of the time, in whole minutes; parts begin at multiples of it, in UTC. 0: one row for
	// all of it.
	Step time.Duration `json:"step,omitempty"`
}

// Validate lists everything that is wrong with a query, a line each, but for what depends on what is kept.
func (q Query) Validate() error {
	var found []error
	if !slices.Contains([]By{"", ByMethod, ByModule, ByCaller, ByCallerMethod, ByNothing}, q.By) {
		found = append(found, fmt.Errorf("by: is %q, must be method, module, caller, caller_method or nothing", q.By))
	}
	if !slices.Contains([]Sort{"", SortEntered, SortRate, SortInFlight, SortFailures, SortTime, SortP99, SortName}, q.Sort) {
		found = append(found, fmt.Errorf("sort: is %q, must be entered, rate, in_flight, failures, time, p99 or name", q.Sort))
	}
	if q.Limit < 0 {
		found = append(found, fmt.Errorf("limit: is %d, must be 0 for all or more", q.Limit))
	}
	if q.Step < 0 || q.Step%time.Minute != 0 {
		found = append(found, fmt.Errorf("step: is %v, must be whole minutes, or 0 for one row", q.Step))
	}
	if !q.To.IsZero() && !q.From.Before(q.To) {
		found = append(found, fmt.Errorf("from: is %s, must be before to, which is %s",
			q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339)))
	}
	return errors.Join(found...)
}

// Arrange sorts rows as the query wants it, and keeps its Limit. Equal rows are in the order of their names.
func (q Query) Arrange(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(q.compare(&a, &b), a.Time.Compare(b.Time), strings.Compare(a.Module, b.Module),
			strings.Compare(a.Method, b.Method), strings.Compare(a.Caller, b.Caller))
	})
	if q.Limit > 0 && len(rows) > q.Limit {
		rows = rows[:q.Limit]
	}
	return rows
}

func (q Query) compare(a, b *Row) int {
	switch q.Sort {
	case SortName:
		return 0
	case SortRate:
		return cmp.Or(cmp.Compare(b.Rate60, a.Rate60), cmp.Compare(b.Entered, a.Entered))
	case SortInFlight:
		return cmp.Compare(b.InFlight, a.InFlight)
	case SortFailures:
		return cmp.Compare(b.Failures(), a.Failures())
	case SortTime:
		return cmp.Compare(b.SumUS, a.SumUS)
	case SortP99:
		return cmp.Compare(b.P99US, a.P99US)
	}
	return cmp.Compare(b.Entered, a.Entered)
}
