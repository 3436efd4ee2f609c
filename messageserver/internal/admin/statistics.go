package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

const noStats = "this node counts nothing: its statistics are not configured"

// counted reports whether this node has statistics, and refuses the request if it has none.
func (s *Server) counted(w http.ResponseWriter) bool {
	if s.src.Stats == nil {
		refuse(w, http.StatusServiceUnavailable, noStats)
		return false
	}
	return true
}

// statsStatus is the status of an answer without the past: whether the question is at fault or the node.
func statsStatus(err error) int {
	if errors.Is(err, stats.ErrUnavailable) {
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// statsQuestion is the body of _node.Stats and _node.StatsPast.
type statsQuestion struct {
	stats.Query
	Offset int `json:"offset,omitempty"` // of rows in the order of their names
}

// statsAnswer is a part of a node's rows.
type statsAnswer struct {
	Node string      `json:"node"`
	Rows []stats.Row `json:"rows"`
	Next int         `json:"next,omitempty"` // the answer was cut: the rest begins at this offset
}

// ownStats returns all rows of this node, by name.
func (src *Sources) ownStats(ctx context.Context, q stats.Query) ([]stats.Row, error) {
	if src.Stats == nil {
		return nil, errors.New(noStats)
	}
	q.Sort, q.Limit = stats.SortName, 0
	if q.From.IsZero() {
		return src.Stats.Now(q), nil
	}
	return src.Stats.Past(ctx, q)
}

// nodeStats answers _node.Stats and _node.StatsPast with rows that are not much longer than maxReport.
func (src *Sources) nodeStats(ctx context.Context, body []byte) ([]byte, error) {
	var q statsQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	rows, err := src.ownStats(ctx, q.Query)
	if err != nil {
		return nil, err
	}
	a := struct {
		Node string            `json:"node"`
		Rows []json.RawMessage `json:"rows"`
		Next int               `json:"next,omitempty"`
	}{Node: src.Node}
	size := 0
	for i := min(max(q.Offset, 0), len(rows)); i < len(rows); i++ {
		text, err := json.Marshal(&rows[i])
		if err != nil {
			return nil, err
		}
		if size += len(text); size > maxReport && len(a.Rows) > 0 {
			a.Next = i
			break
		}
		a.Rows = append(a.Rows, text)
	}
	return json.Marshal(a)
}

// askStats reads what another node has counted, part after part. Live rows that are new meanwhile may stand there twice, and
// those that are gone may hide another one.
func (src *Sources) askStats(ctx context.Context, node string, q stats.Query) (rows []stats.Row, err error) {
	method := "Stats"
	if !q.From.IsZero() {
		method = "StatsPast"
	}
	for offset := 0; ; {
		part, err := ask[statsAnswer](ctx, src, node, method, statsQuestion{q, offset})
		if err != nil {
			return nil, err
		}
		rows = append(rows, part.Rows...)
		if part.Next <= offset {
			return rows, nil
		}
		offset = part.Next
	}
}

// statistics answers /v1/stats.
func (s *Server) statistics(w http.ResponseWriter, r *http.Request) {
	if !s.counted(w) {
		return
	}
	query := r.URL.Query()
	everywhere, err := readScope(query)
	q, wrong := readQuery(query)
	if err = errors.Join(err, wrong); err == nil {
		err = q.Validate()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, reason(err))
		return
	}
	own, err := s.src.ownStats(r.Context(), q)
	if err != nil { // what this node refuses the others do, too
		refuse(w, statsStatus(err), reason(err))
		return
	}
	parts, nodes := collectBy(r.Context(), &s.src, everywhere, func() []stats.Row { return own },
		func(ctx context.Context, node string) ([]stats.Row, error) { return s.src.askStats(ctx, node, q) })
	rows := parts[0]
	if everywhere {
		rows = stats.Merge(parts...)
	}
	total := len(rows)
	a := struct {
		Node  string      `json:"node"`
		From  time.Time   `json:"from,omitzero"`
		To    time.Time   `json:"to,omitzero"`
		Total int         `json:"total"` // rows before the limit
		Rows  []stats.Row `json:"rows"`
		Nodes []heardRow  `json:"nodes"`
	}{s.src.Node, q.From, q.To, total, orEmpty(q.Arrange(rows)), nodes}
	answer(w, http.StatusOK, a)
}

// readQuery reads what is asked of the statistics.
func readQuery(query url.Values) (q stats.Query, err error) {
	q = stats.Query{
		By: stats.By(strings.ReplaceAll(query.Get("by"), "-", "_")), Module: query.Get("module"), Method: query.Get("method"), Caller: query.Get("caller"),
		Sort: stats.Sort(query.Get("sort")),
	}
	now := time.Now()
	var wrong [5]error
	q.Limit, wrong[0] = readLimit(query, 10_000)
	q.Total, wrong[1] = readFlag(query, "total")
	q.From, wrong[2] = readTime(query, "from", now)
	q.To, wrong[3] = readTime(query, "to", now)
	if text := query.Get("step"); text != "" {
		if q.Step, err = time.ParseDuration(text); err != nil {
			wrong[4] = fmt.Errorf("step is %q, must be whole minutes, as 5m or 1h", text)
		}
	}
	if err = errors.Join(wrong[:]...); err == nil && q.From.IsZero() && (!q.To.IsZero() || q.Step != 0) {
		err = errors.New("to and step are about the past, and from is missing")
	}
	return q, err
}

// callersQuestion is the body of _node.StatsCallers.
type callersQuestion struct {
	Module string `json:"module,omitempty"`
	Method string `json:"method,omitempty"`
	OverMS int64  `json:"over_ms"`
}

// callersAnswer is what a node says of its callers.
type callersAnswer struct {
	Callers []stats.CallerRate `json:"callers"`
	Lack    string             `json:"lack,omitempty"` // what they are without
}

func (src *Sources) ownCallers(q callersQuestion) callersAnswer {
	if src.Stats == nil {
		return callersAnswer{[]stats.CallerRate{}, noStats}
	}
	rates, err := src.Stats.Callers(q.Module, q.Method, time.Duration(q.OverMS)*time.Millisecond)
	return callersAnswer{orEmpty(rates), reason(err)}
}

func (src *Sources) nodeCallers(_ context.Context, body []byte) ([]byte, error) {
	var q callersQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	if src.Stats == nil {
		return nil, errors.New(noStats)
	}
	return json.Marshal(src.ownCallers(q))
}

// meshCallers adds up what nodes say. Peaks of nodes need not have been in one minute: their sum is the most that it can have been.
func (src *Sources) meshCallers(ctx context.Context, everywhere bool, q callersQuestion, own callersAnswer) ([]stats.CallerRate, []heardRow) {
	said, nodes := collect(ctx, src, everywhere, "StatsCallers", q, func() callersAnswer { return own })
	sum, next := make(map[string]*stats.CallerRate), 0
	for i := range nodes {
		if nodes[i].Error != "" {
			continue // it has said nothing
		}
		nodes[i].Lack = said[next].Lack
		for _, one := range said[next].Callers {
			of := sum[one.Caller]
			if of == nil {
				of = &stats.CallerRate{Caller: one.Caller}
				sum[one.Caller] = of
			}
			of.Calls += one.Calls
			of.PerSecond += one.PerSecond
			of.PeakMinute += one.PeakMinute
			if one.Last.After(of.Last) {
				of.Last = one.Last
			}
		}
		next++
	}
	all := make([]stats.CallerRate, 0, len(sum))
	for _, one := range sum {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b stats.CallerRate) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Caller, b.Caller))
	})
	return all, nodes
}

// hitQuestion asks for what a scope covers, in the last hour.
func hitQuestion(scope *rules.Scope) callersQuestion {
	return callersQuestion{scope.Module, scope.Method, hitsOver.Milliseconds()}
}

// hits returns who has called what a scope covers in the last hour, at this node and at all others, and why that is not complete.
func (src *Sources) hits(ctx context.Context, scope *rules.Scope, own callersAnswer) ([]stats.CallerRate, string) {
	if src.Stats == nil {
		return own.Callers, own.Lack
	}
	all, nodes := src.meshCallers(ctx, true, hitQuestion(scope), own)
	if scope.Caller != "" {
		all = slices.DeleteFunc(all, func(c stats.CallerRate) bool { return c.Caller != scope.Caller })
	}
	var missing []string
	if scope.Group != "" {
		missing = append(missing, "calls are not counted by group: these are the callers of all groups")
	}
	for _, n := range nodes {
		if n.Error != "" || n.Lack != "" {
			missing = append(missing, n.Node+": "+n.Error+n.Lack)
		}
	}
	return all, strings.Join(missing, "; ")
}

// callers answers /v1/stats/callers.
func (s *Server) callers(w http.ResponseWriter, r *http.Request) {
	if !s.counted(w) {
		return
	}
	query := r.URL.Query()
	everywhere, err := readScope(query)
	over := hitsOver
	if text := query.Get("over"); err == nil && text != "" {
		if over, err = time.ParseDuration(text); err != nil || over < time.Second || over > time.Hour {
			err = fmt.Errorf("over is %q, must be a time from 1s to 1h", text)
		}
	}
	if err == nil && query.Get("module") == "" {
		err = errors.New("module is missing: whose callers?")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	q := callersQuestion{query.Get("module"), query.Get("method"), over.Milliseconds()}
	all, nodes := s.src.meshCallers(r.Context(), everywhere, q, s.src.ownCallers(q))
	answer(w, http.StatusOK, struct {
		Node    string             `json:"node"`
		Over    float64            `json:"over_seconds"`
		Callers []stats.CallerRate `json:"callers"`
		Nodes   []heardRow         `json:"nodes"`
	}{s.src.Node, over.Seconds(), all, nodes})
}

func (src *Sources) ownHandlers() []stats.Discrepancy {
	if src.Stats == nil {
		return []stats.Discrepancy{}
	}
	return orEmpty(src.Stats.Discrepancies())
}

// handlers answers /v1/stats/handlers.
func (s *Server) handlers(w http.ResponseWriter, r *http.Request) {
	if !s.counted(w) {
		return
	}
	everywhere, err := readScope(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	parts, nodes := collect(r.Context(), &s.src, everywhere, "StatsHandlers", nil, s.src.ownHandlers)
	rows := parts[0]
	if everywhere {
		rows = stats.MergeDiscrepancies(parts...)
	}
	answer(w, http.StatusOK, struct {
		Node     string              `json:"node"`
		Handlers []stats.Discrepancy `json:"handlers"`
		Nodes    []heardRow          `json:"nodes"`
	}{s.src.Node, orEmpty(rows), nodes})
}

// exportPatience is how long who reads an export may take for each piece of it.
const exportPatience = time.Minute

// export answers /v1/stats/export.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	if !s.counted(w) {
		return
	}
	query, now := r.URL.Query(), time.Now()
	from, err := readTime(query, "from", now)
	to, wrong := readTime(query, "to", now)
	if err = errors.Join(err, wrong); err == nil && from.IsZero() {
		err = errors.New("from is missing: from when on, as 2h or " + now.UTC().Add(-time.Hour).Format(time.RFC3339))
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, reason(err))
		return
	}
	out := &paced{w: w, control: http.NewResponseController(w)}
	err = s.src.Stats.Export(r.Context(), out, from, to)
	switch {
	case err == nil && !out.began:
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
	case err == nil:
	case !out.began:
		refuse(w, statsStatus(err), reason(err))
	default:
		panic(http.ErrAbortHandler) // the connection ends without the last chunk: who reads knows that it is not all
	}
}

// paced writes an answer that may take long as a whole, and not in its pieces.
type paced struct {
	w       http.ResponseWriter
	control *http.ResponseController
	began   bool
}

func (p *paced) Write(piece []byte) (int, error) {
	if !p.began {
		p.began = true
		p.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if err := p.control.SetWriteDeadline(time.Now().Add(exportPatience)); err != nil {
		return 0, err
	}
	return p.w.Write(piece)
}
