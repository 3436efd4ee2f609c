package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tellPatience = 4 * time.Second        // for telling all nodes a new list
	tellAgain    = 100 * time.Millisecond // a node whose link is only now made is tried again after this
	maxList      = 1 << 20                // bytes of a list of members
)

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
	a.Hash = hashOf(a.Members)
	return a
}

// hashOf is the same for two lists that have the same members in any order; it is the hash that nodes compare, too.
func hashOf(members []Member) string {
	var text []byte
	for _, m := range slices.SortedStableFunc(slices.Values(members), byNode) {
		text = fmt.Appendf(text, "%s %d %s\n", m.Node, m.Number, m.Address)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func byNode(x, y Member) int { return cmp.Compare(x.Node, y.Node) }

// setOwnMembers puts a list in force at this node and answers with what is in force then.
func (src *Sources) setOwnMembers(members []Member) ([]byte, error) {
	if src.Peers == nil {
		return nil, errAlone
	}
	if err := src.Peers.SetMembers(members); err != nil {
		return nil, err
	}
	return json.Marshal(src.ownMembers())
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

// told is how one node took a new list.
type told struct {
	Node   string `json:"node"`
	Result string `json:"result"`          // ok, failed, not_heard
	Error  string `json:"error,omitempty"` // why it is not ok
	Role   string `json:"role"`            // stays, joins, leaves
}

// fails reports whether the mesh is worse off for it: a node that joins or leaves need not be there.
func (t *told) fails() bool {
	return t.Result == "failed" || t.Result == "not_heard" && t.Role == "stays"
}

// setMembers answers PUT /v1/members: every node of the old list and of the new one is told the new one.
func (s *Server) setMembers(w http.ResponseWriter, r *http.Request) {
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
		refuse(w, http.StatusPreconditionFailed, fmt.Sprintf("the list in force at %s has the hash %s, and the change was made from %s: "+
			"look at it again", s.src.Node, old.Hash, want))
		return
	}
	if err := s.src.Peers.CheckMembers(list); err != nil { // before a node that leaves is told
		s.refuseList(w, err)
		return
	}
	all, err := s.tellAll(context.WithoutCancel(r.Context()), old.Members, list) // half of the nodes is worse than all
	if err != nil {
		s.refuseList(w, err)
		return
	}
	answer(w, http.StatusOK, struct {
		Node    string `json:"node"`
		Hash    string `json:"members_hash"` // of the new list
		OK      bool   `json:"ok"`
		Results []told `json:"results"`
	}{s.src.Node, hashOf(list), !slices.ContainsFunc(all, func(t told) bool { return t.fails() }), all})
}

// refuseList says that this node refuses a list that nobody has taken.
func (s *Server) refuseList(w http.ResponseWriter, err error) {
	refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("node %s refuses the list, and no other has taken it: %v", s.src.Node, reason(err)))
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

// tellAll puts the list in force at every node. A node that is to leave is told before the others, while it is linked; this
// node is the first of those that stay, and if it refuses, they are not told. An error means that no node has taken the list.
func (s *Server) tellAll(ctx context.Context, old, list []Member) ([]told, error) {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	all := changes(old, list)
	own := slices.IndexFunc(all, func(t told) bool { return t.Node == s.src.Node })
	leaves := own >= 0 && all[own].Role == "leaves"
	tell := func(leaving bool) {
		var telling sync.WaitGroup
		for i := range all {
			if i != own && leaving == (all[i].Role == "leaves") {
				telling.Go(func() { s.src.tell(ctx, &all[i], list) })
			}
		}
		telling.Wait()
	}
	tell(true)
	if leaves {
		tell(false)
	}
	if err := s.src.Peers.SetMembers(list); err != nil {
		return all, refused(all, own, err)
	}
	if own >= 0 {
		all[own].Result = "ok"
	}
	if !leaves {
		tell(false)
	}
	return all, nil
}

// refused notes that this node refuses the list. If nobody has taken it, that is the error.
func refused(all []told, own int, err error) error {
	if !slices.ContainsFunc(all, func(t told) bool { return t.Result == "ok" }) {
		return err
	}
	for i := range all {
		switch {
		case i == own:
			all[i].Result, all[i].Error = "failed", reason(err)
		case all[i].Result == "":
			all[i].Result, all[i].Error = "failed", "it was not told, because the node that was asked refuses the list"
		}
	}
	return nil
}

// changes names every node of either list, sorted.
func changes(old, list []Member) (all []told) {
	in := func(members []Member, node string) bool {
		return slices.ContainsFunc(members, func(m Member) bool { return m.Node == node })
	}
	for _, m := range old {
		role := "stays"
		if !in(list, m.Node) {
			role = "leaves"
		}
		all = append(all, told{Node: m.Node, Role: role})
	}
	for _, m := range list {
		if !in(old, m.Node) {
			all = append(all, told{Node: m.Node, Role: "joins"})
		}
	}
	slices.SortFunc(all, func(x, y told) int { return cmp.Compare(x.Node, y.Node) })
	return slices.CompactFunc(all, func(x, y told) bool { return x.Node == y.Node })
}

// tell tells one node. The list may have changed its link, which is then waited for.
func (src *Sources) tell(ctx context.Context, t *told, list []Member) {
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for {
		_, err := ask[membersAnswer](ctx, src, t.Node, "SetMembers", memberList{list})
		if err == nil {
			t.Result, t.Error = "ok", ""
			return
		}
		t.Result, t.Error = "failed", reason(err)
		if _, unlinked := errors.AsType[*unlinkedError](err); !unlinked {
			return
		}
		t.Result = "not_heard"
		if t.Role == "leaves" {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
