package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestInfo(t *testing.T) {
	n := start(t)
	n.register("pay", "1", "Charge", "Refund")
	n.register("pay", "2", "Charge")
	n.sessions = make([]Session, 3)
	var got struct {
		Node, Mesh, Version, Listen, Admin string
		Ready                              bool
		Started                            time.Time
		Uptime                             float64 `json:"uptime_seconds"`
		Counts                             struct{ Sessions, Modules, Instances, Methods int }
	}
	n.wantJSON("/v1/info", http.StatusOK, &got)
	if got.Node != "a" || got.Mesh != "m" || got.Version != "v1" || got.Listen != "127.0.0.1:7070" || got.Admin != n.address ||
		!got.Ready || got.Started.Unix() != 1700000000 || got.Uptime <= 0 {
		t.Errorf("got %+v", got)
	}
	if c := got.Counts; c.Sessions != 3 || c.Modules != 1 || c.Instances != 2 || c.Methods != 2 {
		t.Errorf("got %+v", c)
	}
}

func TestIDsAreStrings(t *testing.T) {
	n := start(t)
	n.register("pay", "1", "Charge")
	n.wantText("/v1/registry", http.StatusOK, `"session": "9223372036854775807"`)
}

func TestListsComeInPages(t *testing.T) {
	n := start(t)
	for i := range maxPage + 2 {
		n.sessions = append(n.sessions, Session{View: i})
	}
	for _, test := range []struct {
		query       string
		first, rows int
	}{
		{"", 0, maxPage}, {"?offset=500", 500, 2}, {"?offset=502", 0, 0}, {"?offset=1000", 0, 0}, {"?limit=3&offset=7", 7, 3},
	} {
		var got struct {
			Total, Offset int
			Sessions      []int
		}
		n.wantJSON("/v1/sessions"+test.query, http.StatusOK, &got)
		if got.Total != maxPage+2 || got.Sessions == nil || len(got.Sessions) != test.rows || test.rows > 0 && got.Sessions[0] != test.first {
			t.Errorf("%q: %d rows of %d, want %d from %d", test.query, len(got.Sessions), got.Total, test.rows, test.first)
		}
	}
	for _, path := range []string{"/v1/sessions?limit=501", "/v1/sessions?limit=0", "/v1/registry?offset=-1", "/v1/registry?limit=x"} {
		n.wantText(path, http.StatusBadRequest, "must be a number from")
	}
	n.register("a", "1")
	n.register("b", "1")
	var got struct{ Modules []struct{ Module string } }
	n.wantJSON("/v1/registry?offset=1", http.StatusOK, &got)
	if len(got.Modules) != 1 || got.Modules[0].Module != "b" {
		t.Errorf("got %+v", got)
	}
}

func TestProfiles(t *testing.T) {
	n := start(t)
	n.wantText("/debug/pprof/", http.StatusOK, `"goroutine"`)
	n.wantText("/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile: total")
	n.wantText("/debug/pprof/heap?gc=1", http.StatusOK, "\x1f\x8b")
	n.wantText("/debug/pprof/nothing", http.StatusNotFound, "there is no profile")
	n.wantText("/debug/pprof/cmdline", http.StatusNotFound, "there is no profile")
	n.wantText("/debug/pprof/profile?seconds=301", http.StatusBadRequest, "must be 1 to 300")
	n.wantText("/debug/pprof/trace?seconds=soon", http.StatusBadRequest, "must be 1 to 300")
}

// patient is a connection that notes until when it may be written to.
type patient struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (p *patient) SetWriteDeadline(t time.Time) error {
	p.until = t
	return nil
}

func TestAProfileMayTakeLongerThanOtherAnswers(t *testing.T) {
	s := &Server{}
	gone, leave := context.WithCancel(context.Background())
	leave()
	r := httptest.NewRequestWithContext(gone, http.MethodGet, "/debug/pprof/profile?seconds=200", nil)
	r.SetPathValue("name", "profile")
	w := &patient{ResponseRecorder: httptest.NewRecorder()}
	from := time.Now()
	s.profile(w, r) // ends with the request
	if least := from.Add(200*time.Second + writeTimeout); w.until.Before(least) {
		t.Errorf("it may be written until %v, want %v", w.until, least)
	}
	if !strings.HasPrefix(w.Body.String(), "\x1f\x8b") {
		t.Errorf("no profile was written: %q", w.Body.String())
	}
}
