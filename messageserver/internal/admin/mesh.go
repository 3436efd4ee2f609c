package admin

import (
	"net/http"
	"slices"
	"time"
)

// memberView is a member as it is seen from this node.
type memberView struct {
	Member
	Self    bool    `json:"self,omitempty"`
	State   string  `json:"state"`         // of the link to it; of this node itself: up
	Seconds float64 `json:"state_seconds"` // for which it has been up, or not
	Cause   string  `json:"cause,omitempty"`
	Removed bool    `json:"removed,omitempty"`      // it is no member any more, and its link is still there
	Members string  `json:"members_hash,omitempty"` // of the list that is in force there, with scope=mesh
	Error   string  `json:"error,omitempty"`        // why it was not heard, with scope=mesh
}

// mesh answers /v1/mesh. With scope=mesh every member is asked which list it has.
func (s *Server) mesh(w http.ResponseWriter, r *http.Request) {
	everywhere, err := readScope(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	own := s.src.ownMembers()
	views := s.src.memberViews(own.Members)
	if everywhere {
		for _, h := range gather(r.Context(), &s.src, s.src.ownMembers, asked[membersAnswer](&s.src, "Members")) {
			if i := slices.IndexFunc(views, func(v memberView) bool { return v.Node == h.node }); i >= 0 {
				views[i].Members, views[i].Error = h.said.Hash, reason(h.err)
			}
		}
	}
	answer(w, http.StatusOK, struct {
		Node     string       `json:"node"`
		Mesh     string       `json:"mesh"`
		Alone    bool         `json:"alone,omitempty"` // the node is not configured for a mesh
		Hash     string       `json:"members_hash"`
		Members  []memberView `json:"members"`
		Troubles int          `json:"troubles"`
	}{s.src.Node, s.src.Mesh, s.src.Peers == nil, own.Hash, views, len(s.src.ownLinks().Troubles)})
}

// memberViews says of every member how the link to it is. A node that leaves is no member any more and is shown as long as
// its link is.
func (src *Sources) memberViews(members []Member) []memberView {
	views := make([]memberView, 0, len(members))
	own := src.ownLinks()
	links := own.Links
	for _, m := range members {
		v := memberView{Member: m, State: "down", Cause: "there is no link to it"}
		if m.Node == src.Node {
			v.Self, v.State, v.Cause, v.Seconds = true, "up", "", time.Since(src.Started).Seconds()
		}
		for i := range links {
			if links[i].Peer == m.Node {
				v.State, v.Seconds, v.Cause = links[i].State, links[i].since(own.Troubles), links[i].Cause
			}
		}
		views = append(views, v)
	}
	for i := range links {
		l := &links[i]
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Node == l.Peer }) {
			views = append(views, memberView{
				Member: Member{Node: l.Peer, Number: l.Number, Address: l.Address}, State: l.State, Seconds: l.Seconds, Cause: l.Cause,
				Removed: true,
			})
		}
	}
	return views
}
