package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

const noRules = "this node has no rules: no store of them is configured"

// markText writes a mark as operators do.
func markText(m governance.Mark) string { return fmt.Sprintf("%d.%d", m.Epoch, m.Version) }

// readMark reads what markText writes.
func readMark(name, text string) (governance.Mark, error) {
	epoch, version, ok := strings.Cut(text, ".")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	v, err2 := strconv.ParseUint(version, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return governance.Mark{}, fmt.Errorf("%s is %q, must be a version as 1.7, which is its epoch and its number", name, text)
	}
	return governance.Mark{Epoch: e, Version: v}, nil
}

// versionView is one version of the document.
type versionView struct {
	Mark   governance.Mark `json:"mark"`
	Hash   string          `json:"hash"`
	Author string          `json:"author"`
	Reason string          `json:"reason,omitempty"`
	At     time.Time       `json:"at,omitzero"`
}

func viewVersion(e *rulestore.Entry) versionView {
	return versionView{e.Mark, e.Hash, e.Author, e.Reason, e.At}
}

// governed reports whether this node has rules, and refuses the request if it has none.
func (s *Server) governed(w http.ResponseWriter) bool {
	if s.src.Rules == nil {
		refuse(w, http.StatusServiceUnavailable, noRules)
		return false
	}
	return true
}

// rules answers GET and PUT of /v1/rules.
func (s *Server) rules(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	if r.Method == http.MethodPut {
		s.setRules(w, r)
		return
	}
	everywhere, err := readScope(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	current, own := s.src.Rules.Current(), s.src.Rules.Standing()
	a := struct {
		Node string `json:"node"`
		versionView
		Since    time.Time           `json:"since,omitzero"`
		Source   string              `json:"source"`
		Text     string              `json:"text"`
		Rules    []ruleView          `json:"rules"`
		Troubles []rulestore.Trouble `json:"troubles"`

		Converged *bool         `json:"converged,omitempty"`
		Nodes     []standingRow `json:"nodes,omitempty"`
		Summed    []heardRow    `json:"summed,omitempty"` // the nodes of which Rules has the sums
	}{
		Node: s.src.Node, versionView: viewVersion(&current), Since: own.Since, Source: own.Source, Text: string(current.Text),
		Troubles: orEmpty(s.src.Rules.Troubles()),
	}
	states := s.src.Rules.Set().Describe(s.src.Now())
	if everywhere {
		ctx := r.Context()
		var asking sync.WaitGroup // a node that is slow is waited for once
		asking.Go(func() { a.Rules, a.Summed = s.src.sumRules(ctx, states) })
		rows, converged := s.src.standings(ctx, standingQuestion{Mark: current.Mark}, current.Hash, time.Time{})
		a.Nodes, a.Converged = rows, &converged
		asking.Wait()
	} else {
		a.Rules = viewRules(states)
	}
	w.Header().Set("ETag", `"`+markText(current.Mark)+`"`)
	answer(w, http.StatusOK, a)
}

// orEmpty makes a list that is JSON [] of one that is null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// rulesChange is a document that is to be put in force, as JSON brings it.
type rulesChange struct {
	Text string `json:"text"`
	account
}

// setRules answers PUT /v1/rules.
func (s *Server) setRules(w http.ResponseWriter, r *http.Request) {
	change, status, err := readRules(w, r)
	if err == nil {
		change.Reason, change.Author = firstOf(change.Reason, r.Header.Get("X-Reason")), firstOf(change.Author, r.Header.Get("X-Author"))
		var dry bool
		dry, err = readFlag(r.URL.Query(), "dry_run")
		change.DryRun = change.DryRun || dry
		err = errors.Join(err, change.check())
		if err != nil && change.Reason == "" && !change.DryRun {
			err = fmt.Errorf("%w (with a document as %s the header X-Reason has it, and X-Author who makes the change)", err, asYAML)
		}
		status = http.StatusBadRequest
	}
	if err != nil {
		refuse(w, status, err.Error())
		return
	}
	from, status, err := readMatch(r.Header.Get("If-Match"), false)
	if err != nil {
		refuse(w, status, err.Error())
		return
	}
	s.apply(w, r, from, &change.account, func(ctx context.Context) (rulestore.Applied, error) {
		return s.src.Rules.Apply(ctx, rulestore.Change{
			Text: []byte(change.Text), From: from, Author: change.Author, Reason: change.Reason, DryRun: change.DryRun,
		})
	})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// readMatch reads the header If-Match: the mark that it names, or nil for whichever is there. If it is optional, nothing is that, too.
func readMatch(header string, optional bool) (from *governance.Mark, status int, err error) {
	switch header = strings.TrimSpace(header); header {
	case "":
		if optional {
			return nil, 0, nil
		}
		return nil, http.StatusPreconditionRequired, errors.New("the header If-Match is missing: it has the ETag of GET /v1/rules from which " +
			"the change was made, or * for whatever is there")
	case "*":
		return nil, 0, nil
	}
	mark, err := readMark("If-Match", strings.Trim(strings.TrimPrefix(header, "W/"), `"`))
	return &mark, http.StatusBadRequest, err
}

// readRules reads a document, as it is or inside JSON.
func readRules(w http.ResponseWriter, r *http.Request) (change rulesChange, status int, err error) {
	const most = 2*maxDocument + maxRequest // a line feed has two bytes in JSON
	body, kind, status, err := readBody(w, r, most, asYAML, asJSON)
	if err != nil {
		return change, status, err
	}
	change.Text = string(body)
	if kind == asJSON {
		change.Text = ""
		if err := read(body, &change); err != nil {
			return change, http.StatusBadRequest, err
		}
	}
	if len(change.Text) > maxDocument {
		return change, http.StatusRequestEntityTooLarge,
			fmt.Errorf("the document has %d bytes, at most %d are taken", len(change.Text), maxDocument)
	}
	return change, 0, nil
}

// applied is what a change of the rules did.
type applied struct {
	Node      string `json:"node"`
	DryRun    bool   `json:"dry_run,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"`

	From     governance.Mark `json:"from"` // the version that it was made from
	Mark     governance.Mark `json:"mark"`
	Hash     string          `json:"hash"`
	Changes  []rules.Change  `json:"changes"`
	Warnings []rules.Problem `json:"warnings"`

	Converged bool          `json:"converged"`
	Nodes     []standingRow `json:"nodes,omitempty"`
}

// apply makes a change and answers it. The nodes are asked afterwards.
func (s *Server) apply(
	w http.ResponseWriter, r *http.Request, from *governance.Mark, by *account, change func(context.Context) (rulestore.Applied, error),
) {
	ctx, cancel := changing(r.Context(), r.RemoteAddr)
	defer cancel()
	before, began := s.src.Rules.Current(), time.Now()
	done, err := change(ctx)
	if err != nil {
		s.refuseRules(ctx, w, from, err)
		return
	}
	a := s.src.applied(&before, &done, by)
	if !by.DryRun {
		a.Nodes, a.Converged = s.src.standings(ctx, standingQuestion{Mark: done.Mark, WaitMS: enforceWait.Milliseconds()}, done.Hash, began)
	}
	answer(w, http.StatusOK, a)
}

func (src *Sources) applied(before *rulestore.Entry, done *rulestore.Applied, by *account) applied {
	return applied{
		Node: src.Node, DryRun: by.DryRun, Unchanged: done.Hash == before.Hash, From: done.From, Mark: done.Mark, Hash: done.Hash,
		Changes: orEmpty(done.Changes), Warnings: orEmpty(done.Warnings),
	}
}

// refuseRules answers a change of the rules that was not made. from is the version that it was made from, nil if it names none.
func (s *Server) refuseRules(ctx context.Context, w http.ResponseWriter, from *governance.Mark, err error) {
	invalid, isInvalid := err.(*rules.Invalid) //nolint:errorlint // inside another one it is about the document that is there
	away, isAway := errors.AsType[*rulestore.AwayError](err)
	conflict, isConflict := errors.AsType[*rulestore.ConflictError](err)
	switch {
	case isInvalid:
		answer(w, http.StatusBadRequest, struct {
			Error    string          `json:"error"`
			Problems []rules.Problem `json:"problems"`
		}{"the document is refused, and nothing has changed: " + reason(invalid), invalid.Problems})
	case isConflict:
		text, never := reason(conflict)+"; nothing of this change was done", s.src.neverWas(ctx, from)
		if never {
			text = fmt.Sprintf("there is no version %s: the newest is %s; nothing was changed", markText(*from), markText(conflict.Has.Mark))
		}
		answer(w, http.StatusPreconditionFailed, struct {
			Error   string         `json:"error"`
			NoSuch  bool           `json:"no_such_version,omitempty"` // the version that it was made from never was
			Has     versionView    `json:"has"`
			Changes []rules.Change `json:"changes"`
		}{text, never, viewVersion(&conflict.Has), s.src.since(ctx, from, &conflict.Has)})
	case errors.Is(err, rulestore.ErrNoEntry):
		refuse(w, http.StatusNotFound, "there is no such version: GET /v1/rules/history lists those that are kept")
	case isAway && !errors.Is(err, rulestore.ErrUnknown):
		refuse(w, http.StatusServiceUnavailable, "nothing was changed, because the keeper of the rules is not reached ("+reason(away.Why)+
			"): until it is, nothing can be changed and no older version be read, and the rules in force stay so; start it, or mend the link to it, "+
			"and try again")
	case errors.Is(err, rulestore.ErrUnknown):
		refuse(w, http.StatusServiceUnavailable, reason(err)+"; GET /v1/rules says which version is in force")
	default:
		refuse(w, http.StatusServiceUnavailable, reason(err))
	}
}

// neverWas reports whether there never was such a version: it is not there, though older ones are, which go first, or the first one of
// all. Otherwise it may have been kept once.
func (src *Sources) neverWas(ctx context.Context, from *governance.Mark) bool {
	if from == nil || *from == (governance.Mark{}) {
		return false
	}
	if _, err := src.Rules.EntryAt(ctx, *from); !errors.Is(err, rulestore.ErrNoEntry) {
		return false
	}
	kept, err := src.Rules.History(ctx, governance.Mark{}, 0)
	if err != nil || len(kept) == 0 {
		return err == nil
	}
	oldest := kept[len(kept)-1].Mark
	return oldest.Less(*from) || oldest.Version == 1
}

// since returns what has changed from a version to another one; nothing where the old one is not kept any more.
func (src *Sources) since(ctx context.Context, from *governance.Mark, has *rulestore.Entry) []rules.Change {
	if from == nil {
		return []rules.Change{}
	}
	old, err := src.documentAt(ctx, *from)
	if err != nil {
		return []rules.Change{}
	}
	is, err := rules.Parse(has.Text)
	if err != nil {
		return []rules.Change{}
	}
	return orEmpty(rules.Diff(old, is))
}

// documentAt returns a version of the document, nil for the zero mark.
func (src *Sources) documentAt(ctx context.Context, m governance.Mark) (*rules.Document, error) {
	if m == (governance.Mark{}) {
		return nil, nil //nolint:nilnil // there was none
	}
	e := src.Rules.Current()
	if e.Mark != m {
		var err error
		if e, err = src.Rules.EntryAt(ctx, m); err != nil {
			return nil, err
		}
	}
	return rules.Parse(e.Text)
}

// validate answers POST /v1/rules/validate.
func (s *Server) validate(w http.ResponseWriter, r *http.Request) {
	if !s.governed(w) {
		return
	}
	change, status, err := readRules(w, r)
	if err != nil {
		refuse(w, status, err.Error())
		return
	}
	a := struct {
		Node     string          `json:"node"`
		Valid    bool            `json:"valid"`
		Problems []rules.Problem `json:"problems"`
		Warnings []rules.Problem `json:"warnings"`
		Mark     governance.Mark `json:"mark"` // of the document in force, which Changes begin from
		Changes  []rules.Change  `json:"changes"`
	}{Node: s.src.Node, Problems: []rules.Problem{}, Warnings: []rules.Problem{}, Changes: []rules.Change{}}
	current := s.src.Rules.Current()
	a.Mark = current.Mark
	before, err := s.src.documentAt(r.Context(), current.Mark)
	if err != nil { // it is in force, so it was parsed once
		refuse(w, http.StatusInternalServerError, reason(err))
		return
	}
	doc, err := rules.Parse([]byte(change.Text))
	if err == nil {
		a.Warnings, a.Changes = orEmpty(doc.Warnings(s.src.known())), orEmpty(rules.Diff(before, doc))
		err = doc.Check(before, time.Now())
	}
	a.Valid = err == nil
	if invalid, ok := errors.AsType[*rules.Invalid](err); ok {
		a.Problems = invalid.Problems
	}
	answer(w, http.StatusOK, a)
}

// known is what is registered in the mesh, as this node knows it.
type known map[string][]string

func (src *Sources) known() known {
	k := make(known)
	for _, m := range src.Router.Registry(src.Now()) {
		methods := make([]string, 0, len(m.Methods))
		for _, method := range m.Methods {
			methods = append(methods, method.Method)
		}
		k[m.Module] = methods
	}
	return k
}

// Modules implements rules.Known.
func (k known) Modules() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	return names
}

// Methods implements rules.Known.
func (k known) Methods(module string) []string { return k[module] }
