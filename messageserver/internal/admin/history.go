package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// history answers /v1/rules/history.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	query := r.URL.Query()
	limit, err := readLimit(query, 1000)
	var before governance.Mark
	if text := query.Get("before"); err == nil && text != "" {
		before, err = readMark("before", text)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found, err := s.src.Rules.History(r.Context(), before, limit+1)
	if err != nil {
		s.refuseRules(r.Context(), w, nil, err)
		return
	}
	next := ""
	if len(found) > limit {
		found = found[:limit]
		next = markText(found[limit-1].Mark)
	}
	versions := make([]versionView, 0, len(found))
	for i := range found {
		versions = append(versions, viewVersion(&found[i]))
	}
	answer(w, http.StatusOK, struct {
		Node     string        `json:"node"`
		Versions []versionView `json:"versions"`
		Next     string        `json:"next,omitempty"`
	}{s.src.Node, versions, next})
}

// version answers /v1/rules/versions/{mark}.
func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	mark, err := readMark("the version", r.PathValue("mark"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	e, err := s.src.Rules.EntryAt(r.Context(), mark)
	if err != nil {
		s.refuseRules(r.Context(), w, nil, err)
		return
	}
	answer(w, http.StatusOK, struct {
		Node string `json:"node"`
		versionView
		Text string `json:"text"`
	}{s.src.Node, viewVersion(&e), string(e.Text)})
}

// diff answers /v1/rules/diff.
func (s *Server) diff(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	query := r.URL.Query()
	from, err := readMark("from", query.Get("from"))
	to := s.src.Rules.Current().Mark
	if text := query.Get("to"); err == nil && text != "" {
		to, err = readMark("to", text)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	old, err := s.src.documentAt(r.Context(), from)
	var is *rules.Document
	if err == nil {
		is, err = s.src.documentAt(r.Context(), to)
	}
	if err != nil {
		s.refuseRules(r.Context(), w, nil, err)
		return
	}
	answer(w, http.StatusOK, struct {
		Node    string          `json:"node"`
		From    governance.Mark `json:"from"`
		To      governance.Mark `json:"to"`
		Changes []rules.Change  `json:"changes"`
	}{s.src.Node, from, to, orEmpty(rules.Diff(old, is))})
}

// rollback answers POST /v1/rules/rollback.
func (s *Server) rollback(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	var question struct {
		To string `json:"to"`
		account
	}
	status, err := readRequest(w, r, &question)
	var to governance.Mark
	if err == nil {
		to, err = readMark("to", question.To)
	}
	if err == nil {
		err = question.check()
	}
	var from *governance.Mark
	if err == nil {
		from, status, err = readMatch(r.Header.Get("If-Match"), true)
	}
	if err != nil {
		refuse(w, status, err.Error())
		return
	}
	s.apply(w, r, from, &question.account, func(ctx context.Context) (rulestore.Applied, error) {
		if !question.DryRun {
			return s.src.Rules.Rollback(ctx, to, from, question.Author, "rollback to "+markText(to)+": "+question.Reason)
		}
		old, err := s.src.Rules.EntryAt(ctx, to)
		if err != nil {
			return rulestore.Applied{}, err
		}
		text, _, err := rules.PruneEnded(old.Text, time.Now())
		if err != nil {
			return rulestore.Applied{}, err
		}
		return s.src.Rules.Apply(ctx, rulestore.Change{Text: text, From: from, Author: question.Author, DryRun: true})
	})
}
