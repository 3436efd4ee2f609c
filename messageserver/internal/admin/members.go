package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const maxList = 1 << 20 // bytes of a list of members

// memberList is a list of members as it is sent.
type memberList struct {
	Members []Member `json:"members"`
}

// membersAnswer is the list that is in force at one node.
type membersAnswer struct {
	Node    string   `json:"node"`
	Hash    string   `json:"members_hash"`
	Members []Member `json:"members"`
}

func (src *Sources) ownMembers() membersAnswer {
	a := membersAnswer{Node: src.Node, Members: []Member{}}
	if src.Peers != nil {
		a.Members = append(a.Members, src.Peers.Members()...)
	}
	slices.SortStableFunc(a.Members, byNode)
	a.Hash = src.HashMembers(a.Members)
	return a
}

func byNode(x, y Member) int { return cmp.Compare(x.Node, y.Node) }

// memberChange is a list that is to be put in force.
type memberChange struct {
	Members []Member `json:"members"`
	From    string   `json:"from"` // the hash of the list that it was made from
}

// setOwnMembers puts a list in force at this node and answers with what is in force then.
func (src *Sources) setOwnMembers(change *memberChange) ([]byte, error) {
	switch {
	case src.Peers == nil:
		return nil, errAlone
	case change.From == "":
		return nil, errors.New("the body: from is missing: it has the hash of the list that the change was made from")
	}
	if err := src.Peers.SetMembers(change.From, change.Members); err != nil {
		return nil, err
	}
	return json.Marshal(src.ownMembers())
}

// judged is what a node says of a list before it is put in force.
type judged struct {
	Node  string `json:"node"`
	Hash  string `json:"members_hash"`    // of the list that is in force there
	Error string `json:"error,omitempty"` // what is wrong with the new one
}

func (src *Sources) judge(members []Member) judged {
	j := judged{Node: src.Node, Hash: src.ownMembers().Hash, Error: reason(errAlone)}
	if src.Peers != nil {
		j.Error = reason(src.Peers.CheckMembers(members))
	}
	return j
}

// members answers GET and PUT of /v1/members.
func (s *Server) members(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		s.setMembers(w, r)
		return
	}
	own := s.src.ownMembers()
	w.Header().Set("ETag", `"`+own.Hash+`"`)
	answer(w, http.StatusOK, memberList{own.Members})
}

// setMembers answers PUT /v1/members: every node of the old list and of the new one is told the new one.
func (s *Server) setMembers(w http.ResponseWriter, r *http.Request) {
	force, err := readForce(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	list, status, err := readList(w, r)
	switch {
	case err != nil:
		refuse(w, status, err.Error())
		return
	case s.src.Peers == nil:
		refuse(w, http.StatusConflict, errAlone.Error())
		return
	}
	select {
	case s.changing <- struct{}{}:
		defer func() { <-s.changing }()
	default:
		refuse(w, http.StatusConflict, "another change of the members is under way at this node: try again")
		return
	}
	old := s.src.ownMembers()
	if want := strings.Trim(r.Header.Get("If-Match"), `"`); want != old.Hash {
		s.refuseList(w, &OtherListError{Node: s.src.Node, Has: old.Hash, From: want})
		return
	}
	c := newChange(&s.src, &old, list, force)
	if err := s.src.Peers.CheckMembers(list); err != nil {
		s.refuseList(w, err)
		return
	}
	ctx := context.WithoutCancel(r.Context()) // half of the nodes is worse than all
	err = c.canvass(ctx)
	if err == nil {
		err = c.tellAll(ctx)
	}
	if err != nil {
		s.refuseList(w, err)
		return
	}
	answer(w, http.StatusOK, struct {
		Node    string `json:"node"`
		Hash    string `json:"members_hash"` // of the new list
		OK      bool   `json:"ok"`
		Results []told `json:"results"`
	}{s.src.Node, c.hash, !slices.ContainsFunc(c.all, func(t told) bool { return t.fails() }), c.all})
}

// refuseList says who refuses a list that nobody has taken.
func (s *Server) refuseList(w http.ResponseWriter, err error) {
	if _, other := errors.AsType[*OtherListError](err); other {
		refuse(w, http.StatusPreconditionFailed, reason(err))
		return
	}
	text := reason(err)
	if _, objects := errors.AsType[*objection](err); !objects {
		text = fmt.Sprintf("node %s refuses the list, and no other has taken it: %s", s.src.Node, text)
	}
	refuse(w, http.StatusUnprocessableEntity, text)
}

// readForce reads whether nodes are to take a list whatever other one they have.
func readForce(query url.Values) (bool, error) {
	switch v := query.Get("force"); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("force is %q, must be true or false", v)
	}
}

// readList reads what PUT /v1/members brings.
func readList(w http.ResponseWriter, r *http.Request) (members []Member, status int, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the Content-Type is %q, must be application/json", r.Header.Get("Content-Type"))
	}
	if r.Header.Get("If-Match") == "" {
		return nil, http.StatusPreconditionRequired, errors.New("the header If-Match is missing: it has the members_hash of /v1/mesh " +
			"from which the change was made")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxList))
	if err != nil {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body: %w", err)
	}
	var list memberList
	if err := read(body, &list); err != nil {
		return nil, http.StatusBadRequest, err
	}
	if len(list.Members) == 0 {
		return nil, http.StatusBadRequest, errors.New(`there are no members: the body is {"members": [{"node": "a", "number": 1, "address": "10.0.0.1:7072"}]}`)
	}
	if i := unnumbered(body); i >= 0 {
		return nil, http.StatusBadRequest, fmt.Errorf("members[%d] has no number", i)
	}
	return list.Members, 0, nil
}

// unnumbered returns the first member of a list that can be read whose number is left out, which is not number 0; else -1.
func unnumbered(body []byte) int {
	var list struct {
		Members []struct {
			Number *int `json:"number"`
		} `json:"members"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return -1
	}
	for i, m := range list.Members {
		if m.Number == nil {
			return i
		}
	}
	return -1
}
