package admin

import "net/http"

// linksAnswer is one node's end of its links.
type linksAnswer struct {
	Node     string    `json:"node"`
	Links    []Link    `json:"links"`
	Troubles []Trouble `json:"troubles"`
}

func (src *Sources) ownLinks() linksAnswer {
	a := linksAnswer{Node: src.Node, Links: []Link{}, Troubles: []Trouble{}}
	if src.Peers != nil {
		a.Links = append(a.Links, src.Peers.Links()...)
		a.Troubles = append(a.Troubles, src.Peers.Troubles()...)
		for i := range a.Links {
			if l := &a.Links[i]; l.State != "up" {
				l.NotUp = l.since(a.Troubles)
			}
		}
	}
	return a
}

// links answers /v1/links.
func (s *Server) links(w http.ResponseWriter, r *http.Request) {
	type row struct {
		Node         string `json:"node"`
		Error        string `json:"error,omitempty"` // why it was not heard
		*linksAnswer        // nil if it was not heard
	}
	all := gather(r.Context(), &s.src, s.src.ownLinks, asked[linksAnswer](&s.src, "Links"))
	rows := make([]row, 0, len(all))
	for i := range all {
		one := row{Node: all[i].node, Error: reason(all[i].err)}
		if all[i].err == nil {
			one.linksAnswer = &all[i].said
		}
		rows = append(rows, one)
	}
	answer(w, http.StatusOK, struct {
		Node  string `json:"node"`
		Mesh  string `json:"mesh"`
		Nodes []row  `json:"nodes"`
	}{s.src.Node, s.src.Mesh, rows})
}

// troubles answers /v1/troubles.
func (s *Server) troubles(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Node     string    `json:"node"`
		Troubles []Trouble `json:"troubles"`
	}{s.src.Node, s.src.ownLinks().Troubles})
}
