package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

const maxRefusals = 1000 // of one answer

// callView is a call as rules see it.
type callView struct {
	Caller         string `json:"caller"`
	CallerInstance string `json:"caller_instance,omitempty"`
	CallerIP       string `json:"caller_ip,omitempty"` // empty: a unix socket
	External       bool   `json:"external,omitempty"`
	Module         string `json:"module"`
	Method         string `json:"method"`
	Group          string `json:"group,omitempty"`
}

func viewCall(c *governance.Call) callView {
	v := callView{Caller: c.Caller, CallerInstance: c.CallerInstance, External: c.External, Module: c.Module, Method: c.Method, Group: c.Group}
	if c.CallerIP.IsValid() {
		v.CallerIP = c.CallerIP.String()
	}
	return v
}

// refusal is a call that a rule has refused, at the node that it entered.
type refusal struct {
	Node  string    `json:"node"`
	At    time.Time `json:"at"`
	RPCID uint64    `json:"rpc_id,string"`
	callView
	Code         int     `json:"code"`
	CodeName     string  `json:"code_name,omitempty"`
	RuleID       string  `json:"rule_id,omitempty"`
	RuleVersion  uint64  `json:"rule_version,omitempty"`
	RuleEpoch    uint64  `json:"rule_epoch,omitempty"`
	RetryAfterMS float64 `json:"retry_after_ms,omitempty"`

	Explanation rules.Explanation `json:"explanation"` // by the rules of today
	Text        string            `json:"text"`
}

// refusedQuestion is the body of _node.Refused.
type refusedQuestion struct {
	RPCID  uint64 `json:"rpc_id,string,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Caller string `json:"caller,omitempty"`
	Module string `json:"module,omitempty"`
	Method string `json:"method,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// ownRefusals returns the calls that this node has refused, not more than one answer holds.
func (src *Sources) ownRefusals(q refusedQuestion) []refusal {
	found := []refusal{}
	if src.Rules == nil {
		return found
	}
	size := 0
	for _, one := range src.Rules.Refused(rulestore.RefusedFilter{
		RPCID: q.RPCID, RuleID: q.Rule, Caller: q.Caller, Module: q.Module, Method: q.Method, Limit: min(max(q.Limit, 1), maxRefusals),
	}) {
		r := refusal{
			Node: src.Node, At: one.At, RPCID: one.RPCID, callView: viewCall(&one.Call), Code: int(one.Code), CodeName: src.codeName(int(one.Code)),
			RuleID: one.RuleID, RuleVersion: one.RuleVersion, RuleEpoch: one.RuleEpoch,
			RetryAfterMS: float64(one.RetryAfter.Microseconds()) / 1000, Explanation: one.Explanation, Text: src.explained(&one.Explanation),
		}
		if size += sizeOf(&r); size > maxReport {
			break
		}
		found = append(found, r)
	}
	return found
}

// explained writes an explanation for people, who know codes by their names.
func (src *Sources) explained(e *rules.Explanation) string {
	return e.Text(func(code uint16) string { return src.codeName(int(code)) })
}

func (src *Sources) codeName(number int) string {
	for _, c := range src.Codes {
		if c.Number == number {
			return c.Name
		}
	}
	return ""
}

// meshRefusals asks all nodes, or this one.
func (src *Sources) meshRefusals(ctx context.Context, everywhere bool, q refusedQuestion) ([]refusal, []heardRow) {
	parts, nodes := collect(ctx, src, everywhere, "Refused", q, func() []refusal { return src.ownRefusals(q) })
	all := slices.Concat(parts...)
	slices.SortStableFunc(all, func(a, b refusal) int { return b.At.Compare(a.At) })
	return orEmpty(all[:min(len(all), q.Limit)]), nodes
}

// refused answers /v1/rules/refused.
func (s *Server) refused(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	query := r.URL.Query()
	everywhere, err := readScope(query)
	limit, wrong := readLimit(query, maxRefusals)
	if err := cmp.Or(err, wrong); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	all, nodes := s.src.meshRefusals(r.Context(), everywhere, refusedQuestion{
		Rule: query.Get("rule"), Caller: query.Get("caller"), Module: query.Get("module"), Method: query.Get("method"), Limit: limit,
	})
	answer(w, http.StatusOK, struct {
		Node     string     `json:"node"`
		Refusals []refusal  `json:"refusals"`
		Nodes    []heardRow `json:"nodes"`
	}{s.src.Node, all, nodes})
}

// explain answers /v1/rules/explain.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	query := r.URL.Query()
	if text := query.Get("rpc_id"); text != "" {
		s.explainMade(w, r, text)
		return
	}
	call, err := readCall(query)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	e := s.src.Rules.Set().Explain(s.src.Now(), &call).Warned(s.src.known())
	answer(w, http.StatusOK, struct {
		Node        string            `json:"node"`
		Call        callView          `json:"call"`
		Explanation rules.Explanation `json:"explanation"`
		Text        string            `json:"text"`
	}{s.src.Node, viewCall(&call), e, s.src.explained(&e)})
}

// explainMade explains a call that was refused. The node that it entered knows it.
func (s *Server) explainMade(w http.ResponseWriter, r *http.Request, text string) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("rpc_id is %q, must be the number of a call", text))
		return
	}
	found, nodes := s.src.meshRefusals(r.Context(), true, refusedQuestion{RPCID: id, Limit: maxRefusals})
	a := struct {
		Error    string     `json:"error,omitempty"`
		Node     string     `json:"node"`
		RPCID    uint64     `json:"rpc_id,string"`
		Refusals []refusal  `json:"refusals"`
		Nodes    []heardRow `json:"nodes"`
	}{"", s.src.Node, id, found, nodes}
	status := http.StatusOK
	if len(found) == 0 {
		status = http.StatusNotFound
		a.Error = "no node that was heard has refused that call by a rule in the last 10 minutes"
	}
	answer(w, status, a)
}

// readCall reads a call that was not made.
func readCall(query url.Values) (c governance.Call, err error) {
	c = governance.Call{
		Caller: query.Get("caller"), CallerInstance: query.Get("instance"), Module: query.Get("module"), Method: query.Get("method"),
		Group: query.Get("group"),
	}
	if c.Module == "" {
		return c, errors.New("module is missing: a call goes to a module, as ?caller=web&module=pay&method=Charge; or ask for a call that was " +
			"refused, by its rpc_id")
	}
	if text := query.Get("ip"); text != "" {
		if c.CallerIP, err = netip.ParseAddr(text); err != nil {
			return c, fmt.Errorf("ip is %q, must be an address, as 10.1.2.3", text)
		}
		c.CallerIP = c.CallerIP.Unmap()
	}
	c.External, err = readFlag(query, "external")
	return c, err
}

// nodeRefused answers _node.Refused.
func (src *Sources) nodeRefused(_ context.Context, body []byte) ([]byte, error) {
	var q refusedQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	return json.Marshal(src.ownRefusals(q))
}
