package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

// hitsOver is the time of which an operator is told who would be hit.
const hitsOver = time.Hour

// The actions of a switch.
const (
	switchOff   = "off"
	switchOn    = "on"
	switchLimit = "limit"
)

// switchRequest is the body of POST /v1/switches.
type switchRequest struct {
	Action string `json:"action"`
	rules.Scope
	ForSeconds float64   `json:"for_seconds,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	ID         string    `json:"id,omitempty"`
	account

	Off   *rules.Off   `json:"off,omitempty"`
	Limit *limitSwitch `json:"limit,omitempty"`
}

// limitSwitch is a rate as it is asked for.
type limitSwitch struct {
	PerSecond float64 `json:"per_second"`
	Burst     float64 `json:"burst,omitempty"`
	Per       string  `json:"per,omitempty"`
	Each      string  `json:"each,omitempty"`
	Over      string  `json:"over,omitempty"`
	MaxWaitMS float64 `json:"max_wait_ms,omitempty"`
}

const maxSwitch = 10 * 365 * 24 * time.Hour // for which one is set

// check names everything that is wrong with it, besides what the rules say of the rule.
func (q *switchRequest) check() error {
	found := []error{q.account.check()}
	wrong := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	switch q.Action {
	case switchOff, switchLimit, switchOn:
	case "":
		wrong("action: is missing, must be off, on or limit")
	default:
		wrong("action: is %q, must be off, on or limit", q.Action)
	}
	if q.Module == "" && q.Method != "" {
		wrong("method: needs module: which module's %s?", q.Method)
	}
	if q.Module == "" && q.Group != "" {
		wrong("group: needs module: which module's %s?", q.Group)
	}
	switch most := maxSwitch.Seconds(); {
	case q.ForSeconds < 0 || q.ForSeconds > most:
		wrong("for_seconds: is %v, must be above 0 and at most %.0f", q.ForSeconds, most)
	case q.ForSeconds > 0 && !q.Until.IsZero():
		wrong("until: stands beside for_seconds: give one of them")
	case q.Action == switchOn && (q.ForSeconds > 0 || !q.Until.IsZero()):
		wrong("on: takes rules away for good: for_seconds and until are of off and limit")
	}
	if q.Off != nil && q.Action != switchOff {
		wrong("off: is for the action off")
	}
	switch {
	case q.Limit != nil && q.Action != switchLimit:
		wrong("limit: is for the action limit")
	case q.Limit == nil && q.Action == switchLimit:
		wrong(`limit: is missing, as {"per_second": 100}`)
	case q.Limit != nil && (q.Limit.MaxWaitMS < 0 || q.Limit.MaxWaitMS > 1e9):
		wrong("limit.max_wait_ms: is %v, must be milliseconds", q.Limit.MaxWaitMS)
	}
	return errors.Join(found...)
}

// rule makes the rule of off and limit.
func (q *switchRequest) rule(now time.Time) rules.Rule {
	r := rules.Rule{ID: q.ID, Scope: q.Scope, Until: q.Until, Note: q.Reason}
	if q.ForSeconds > 0 {
		r.Until = now.Add(time.Duration(q.ForSeconds * float64(time.Second))).UTC().Truncate(time.Millisecond)
	}
	if q.Action == switchLimit {
		l := q.Limit
		r.Rate = &rules.Rate{PerSecond: l.PerSecond, Burst: l.Burst, Per: l.Per, Each: l.Each, Over: l.Over,
			MaxWait: rules.Duration(l.MaxWaitMS * float64(time.Millisecond))}
		return r
	}
	r.Off = &rules.Off{}
	if q.Off != nil {
		*r.Off = *q.Off
	}
	return r
}

// switched is what a switch did.
type switched struct {
	applied
	Action  string   `json:"action"`
	ID      string   `json:"id,omitempty"`      // of the rule that was put in
	Removed []string `json:"removed,omitempty"` // ids of rules that were taken out

	Hits      []stats.CallerRate `json:"hits"`
	HitsError string             `json:"hits_error,omitempty"` // why Hits is not complete
}

// switches answers POST /v1/switches.
func (s *Server) switches(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	var q switchRequest
	status, err := readRequest(w, r, &q)
	if err == nil {
		err = q.check()
	}
	var from *governance.Mark
	if err == nil {
		from, status, err = readMatch(r.Header.Get("If-Match"), true)
	}
	if err != nil {
		refuse(w, status, err.Error())
		return
	}
	ctx, cancel := changing(r.Context(), r.RemoteAddr)
	defer cancel()
	before, began := s.src.Rules.Current(), time.Now()
	a, done, err := s.turn(ctx, &q, from)
	if err != nil {
		s.refuseSwitch(ctx, w, &q, from, err)
		return
	}
	own, hit := s.src.ownCallers(hitQuestion(&q.Scope)), make(chan struct{})
	go func() { // beside the nodes' standing: one that is slow is waited for once
		defer close(hit)
		a.Hits, a.HitsError = s.src.hits(ctx, &q.Scope, own)
	}()
	became := s.src.applied(&before, &done, &q.account)
	if !q.DryRun {
		became.Nodes, became.Converged = s.src.standings(ctx,
			standingQuestion{Mark: done.Mark, WaitMS: enforceWait.Milliseconds(), Module: q.Module}, done.Hash, began)
	}
	<-hit
	a.applied = became
	answer(w, http.StatusOK, a)
}

// turn makes the change. What it is made of depends on the rules that there are: it is made anew if they change meanwhile, unless it is
// for those of one version only, from.
func (s *Server) turn(ctx context.Context, q *switchRequest, from *governance.Mark) (a switched, done rulestore.Applied, err error) {
	for try := 1; ; try++ {
		mark, doc, err := s.src.newest(ctx)
		if err != nil {
			return a, done, fmt.Errorf("nothing was changed: the newest rules cannot be read: %w", err)
		}
		if from != nil && *from != mark { // it need not fit what is there now
			has := s.src.Rules.Current()
			if has.Mark != mark {
				if has, err = s.src.Rules.EntryAt(ctx, mark); err != nil {
					return a, done, fmt.Errorf("nothing was changed: the newest rules cannot be read: %w", err)
				}
			}
			return a, done, &rulestore.ConflictError{Has: has}
		}
		a = switched{Action: q.Action}
		edit := rulestore.Edit{From: from, Author: q.Author, Reason: q.Reason, DryRun: q.DryRun}
		if q.Action == switchOn {
			if a.Removed = q.matching(doc); len(a.Removed) == 0 {
				return a, done, &notSwitchedError{doc}
			}
			edit.Remove = a.Removed
		} else {
			rule := q.rule(time.Now())
			if rule.ID, err = q.id(doc); err != nil {
				return a, done, err
			}
			edit.Insert, a.ID = []rules.Rule{rule}, rule.ID
		}
		done, err = s.src.Rules.Switch(ctx, edit)
		if err == nil || from != nil || try == 3 {
			return a, done, err
		}
		if now, _, again := s.src.newest(ctx); again != nil || now == mark {
			return a, done, err
		}
	}
}

// notSwitchedError says that there is nothing to take away.
type notSwitchedError struct{ doc *rules.Document }

func (*notSwitchedError) Error() string { return "there is no such switch" }

// takenError says that the id is another rule's.
type takenError struct{ why string }

func (e *takenError) Error() string { return e.why }

// refuseSwitch says what was wrong with a switch. The lines of a problem are those of a text that the operator has not seen.
func (s *Server) refuseSwitch(ctx context.Context, w http.ResponseWriter, q *switchRequest, from *governance.Mark, err error) {
	if none, ok := errors.AsType[*notSwitchedError](err); ok {
		s.refuseOn(w, q, none.doc)
		return
	}
	if taken, ok := errors.AsType[*takenError](err); ok {
		refuse(w, http.StatusConflict, taken.why)
		return
	}
	if invalid, ok := err.(*rules.Invalid); ok { //nolint:errorlint // inside another one it is about the document that is there
		var what []string
		for _, p := range invalid.Problems {
			what = append(what, p.Message)
		}
		answer(w, http.StatusBadRequest, struct {
			Error    string          `json:"error"`
			Problems []rules.Problem `json:"problems"`
		}{fmt.Sprintf("the switch %s is refused, and nothing has changed: %s", q.Action, strings.Join(what, "; ")), invalid.Problems})
		return
	}
	s.refuseRules(ctx, w, from, err)
}

// newest returns the document that an edit begins from. Of the store, because another node may have changed it just now.
func (src *Sources) newest(ctx context.Context) (mark governance.Mark, doc *rules.Document, err error) {
	found, err := src.Rules.History(ctx, mark, 1)
	if err != nil {
		return mark, nil, err
	}
	mark = src.Rules.Current().Mark
	if len(found) > 0 {
		mark = found[0].Mark
	}
	if doc, err = src.documentAt(ctx, mark); doc == nil {
		doc = &rules.Document{}
	}
	return mark, doc, err
}

// isSwitch reports whether a rule is one that the action on takes away by its id: whatever is off, and limits.
func isSwitch(r *rules.Rule) bool { return r.Off != nil || r.Rate != nil }

// byScope reports whether the action on takes a switch away without its id: not a limit that somebody has named, as those in a document
// that was written by hand.
func byScope(r *rules.Rule) bool {
	return r.Off != nil || r.Rate != nil && strings.HasPrefix(r.ID, switchLimit+":")
}

// matching returns the ids of the switches of exactly this scope, or the one that is named.
func (q *switchRequest) matching(doc *rules.Document) (ids []string) {
	for i := range doc.Rules {
		r := &doc.Rules[i]
		switch {
		case q.ID == "" && byScope(r) && r.Scope == q.Scope:
		case q.ID != "" && isSwitch(r) && r.ID == q.ID && (q.Scope == rules.Scope{} || r.Scope == q.Scope):
		default:
			continue
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// refuseOn says which switches there are.
func (s *Server) refuseOn(w http.ResponseWriter, q *switchRequest, doc *rules.Document) {
	type row struct {
		ID   string     `json:"id"`
		Kind rules.Kind `json:"kind"`
		rules.Scope
		Until time.Time `json:"until,omitzero"`
		Note  string    `json:"note,omitempty"`
	}
	rows := []row{}
	for i := range doc.Rules {
		if r := &doc.Rules[i]; isSwitch(r) {
			rows = append(rows, row{r.ID, r.Kind(), r.Scope, r.Until, r.Note})
		}
	}
	what := "of exactly " + q.String()
	if q.ID != "" {
		what = "with the id " + q.ID
	}
	answer(w, http.StatusNotFound, struct {
		Error    string `json:"error"`
		Switches []row  `json:"switches"`
	}{fmt.Sprintf("there is no switch %s to take away; there are %d", what, len(rows)), rows[:min(len(rows), maxPage)]})
}

// id returns how the rule is called: as it is asked for, or so that it says what the rule does. A rule of that id is replaced, so it
// must be one of the same kind and scope.
func (q *switchRequest) id(doc *rules.Document) (string, error) {
	takes := func(id string) *rules.Rule {
		i := slices.IndexFunc(doc.Rules, func(r rules.Rule) bool { return r.ID == id })
		if i < 0 {
			return nil
		}
		return &doc.Rules[i]
	}
	same := func(r *rules.Rule) bool {
		return r == nil || r.Scope == q.Scope && (r.Off != nil && q.Action == switchOff || r.Rate != nil && q.Action == switchLimit)
	}
	if q.ID != "" {
		if r := takes(q.ID); !same(r) {
			return "", &takenError{fmt.Sprintf("id: %s is another rule: %s; choose another id, or leave it out", q.ID, r)}
		}
		return q.ID, nil
	}
	base := readableID(q.Action, q.Scope)
	for n := 1; ; n++ {
		id := base
		if n > 1 {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		if same(takes(id)) {
			return id, nil
		}
	}
}

// readableID says what a switch does, as off:fishtrade.SendRocket:web. Names may have the same characters in them, so that two
// scopes may have one id.
func readableID(action string, s rules.Scope) string {
	const most = 110 // bytes, of 127: the rest is for what tells two apart
	target := s.Module
	if s.Method != "" {
		target += "." + s.Method
	}
	if s.Group != "" {
		target += ":group:" + s.Group
	}
	switch {
	case target == "" && s.Caller == "":
		target = "all"
	case target == "":
		target = "all:" + s.Caller
	case s.Caller != "":
		target += ":" + s.Caller
	}
	id := action + ":" + target
	return id[:min(len(id), most)]
}
