package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/audit"
	"github.com/twohop/twohop/messageserver/internal/quota"
)

// alarmsQuestion is the body of _node.Alarms.
type alarmsQuestion struct {
	All bool `json:"all,omitempty"` // also those that have ended
}

func (src *Sources) ownAlarms(q alarmsQuestion) []alarm.Alarm {
	if src.Alarms == nil {
		return []alarm.Alarm{}
	}
	return orEmpty(src.Alarms.List(q.All))
}

func (src *Sources) nodeAlarms(_ context.Context, body []byte) ([]byte, error) {
	var q alarmsQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	if src.Alarms == nil {
		return nil, errors.New(noAlarms)
	}
	return json.Marshal(src.ownAlarms(q))
}

const noAlarms = "this node looks for no alarms"

// alarms answers /v1/alarms.
func (s *Server) alarms(w http.ResponseWriter, r *http.Request) {
	if s.src.Alarms == nil {
		refuse(w, http.StatusServiceUnavailable, noAlarms)
		return
	}
	query := r.URL.Query()
	everywhere, err := readScope(query)
	all, wrong := readFlag(query, "all")
	if err = errors.Join(err, wrong); err != nil {
		refuse(w, http.StatusBadRequest, reason(err))
		return
	}
	q := alarmsQuestion{all}
	parts, nodes := collect(r.Context(), &s.src, everywhere, "Alarms", q, func() []alarm.Alarm { return s.src.ownAlarms(q) })
	answer(w, http.StatusOK, struct {
		Node   string        `json:"node"`
		Alarms []alarm.Alarm `json:"alarms"`
		View   alarm.View    `json:"view"`
		Nodes  []heardRow    `json:"nodes"`
	}{s.src.Node, orEmpty(alarm.Merge(parts...)), s.src.Alarms.View(), nodes})
}

// audit answers /v1/audit.
func (s *Server) audit(w http.ResponseWriter, r *http.Request) {
	if s.src.Audit == nil {
		refuse(w, http.StatusServiceUnavailable, "this node keeps no audit log")
		return
	}
	query := r.URL.Query()
	since, err := readTime(query, "since", time.Now())
	limit, wrong := readLimit(query, 10_000)
	if err = errors.Join(err, wrong); err != nil {
		refuse(w, http.StatusBadRequest, reason(err))
		return
	}
	records, err := s.src.Audit.List(r.Context(), audit.Filter{
		Since: since, Author: query.Get("author"), Action: query.Get("action"), Limit: limit,
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the audit log cannot be read: "+reason(err))
		return
	}
	answer(w, http.StatusOK, struct {
		Node    string         `json:"node"`
		Records []audit.Record `json:"records"`
		View    audit.View     `json:"view"`
	}{s.src.Node, orEmpty(records), s.src.Audit.View()})
}

const noQuota = "this node divides no limits of the mesh"

// ownQuota returns the shares of this node, not more than one answer holds.
func (src *Sources) ownQuota() []quota.LeaseView {
	shares := []quota.LeaseView{}
	if src.Quota == nil {
		return shares
	}
	size := 0
	for _, one := range src.Quota.View() {
		if size += sizeOf(&one); size > maxReport {
			break
		}
		shares = append(shares, one)
	}
	return shares
}

// quota answers /v1/quota.
func (s *Server) quota(w http.ResponseWriter, r *http.Request) {
	if s.src.Quota == nil {
		refuse(w, http.StatusServiceUnavailable, noQuota)
		return
	}
	everywhere, err := readScope(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	type row struct {
		heardRow
		Shares []quota.LeaseView `json:"shares,omitempty"`
	}
	parts, nodes := collect(r.Context(), &s.src, everywhere, "QuotaView", nil, s.src.ownQuota)
	rows := make([]row, 0, len(nodes))
	for _, n := range nodes {
		one := row{heardRow: n}
		if n.Error == "" {
			one.Shares, parts = parts[0], parts[1:]
		}
		rows = append(rows, one)
	}
	answer(w, http.StatusOK, struct {
		Node  string `json:"node"`
		Nodes []row  `json:"nodes"`
	}{s.src.Node, rows})
}
