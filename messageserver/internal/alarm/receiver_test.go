package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a network in a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func client(f roundTrip) *http.Client { return &http.Client{Transport: f} }

func broken(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }

func status(code int, text string) *http.Response {
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(text))}
}

// recorder is a receiver that keeps what it takes.
type recorder struct {
	mu     sync.Mutex
	code   int // of the answer; 0 is 200
	alerts []alert
	posts  []posted
	at     []time.Time // of each request, also those that are not taken
}

func (r *recorder) serve(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = append(r.at, time.Now())
	if r.code != 0 {
		return status(r.code, "not today"), nil
	}
	if strings.HasSuffix(request.URL.Path, "/api/v2/alerts") {
		var alerts []alert
		err = json.Unmarshal(body, &alerts)
		r.alerts = append(r.alerts, alerts...)
	} else {
		var p post
		err = json.Unmarshal(body, &p)
		r.posts = append(r.posts, p.Alarms...)
	}
	if err != nil {
		return status(http.StatusBadRequest, err.Error()), nil
	}
	return status(http.StatusOK, ""), nil
}

func (r *recorder) answer(code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.code = code
}

// taken returns what was posted since the last time, as status kind:subject.
func (r *recorder) taken() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, one := range r.posts {
		all = append(all, fmt.Sprintf("%s %s:%s", one.Status, one.Kind, one.Subject))
	}
	for _, one := range r.alerts {
		text := "firing"
		if !one.EndsAt.After(time.Now()) {
			text = "resolved"
		}
		all = append(all, fmt.Sprintf("%s %s:%s %s", text, one.Labels["alertname"], one.Labels["subject"], one.Labels["severity"]))
	}
	r.posts, r.alerts = nil, nil
	return strings.Join(all, ", ")
}

func TestAWebhookHearsBeginAndEndOnce(t *testing.T) {
	var r recorder
	run(t, Options{Webhook: "http://w/hook", HTTP: client(r.serve)}, func(t *testing.T, w *world, _ *Alarms) {
		want := func(when, want string) {
			t.Helper()
			if got := r.taken(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(1)
		want("begun", "firing link_down:b")
		looks(300)
		want("it lasts", "")
		w.set(Alarm{Kind: LinkDown, Subject: "b", Severity: Warning})
		looks(1)
		want("another severity", "firing link_down:b")
		w.set()
		looks(6)
		want("ended", "resolved link_down:b")
		looks(300)
		want("long ago", "")
	})
}

func TestAlertmanagerIsToldAgainWhileItLasts(t *testing.T) {
	var r recorder
	run(t, Options{Alertmanager: []string{"http://am:9093"}, HTTP: client(r.serve)}, func(t *testing.T, w *world, _ *Alarms) {
		want := func(when, want string) {
			t.Helper()
			if got := r.taken(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		const firing = "firing twohop_link_down:b critical"
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(1)
		want("begun", firing)
		looks(29)
		want("29 s", "")
		looks(1)
		want("30 s", firing)
		looks(60)
		want("90 s", firing+", "+firing)
		w.set(Alarm{Kind: LinkDown, Subject: "b", Severity: Warning})
		looks(1)
		want("another severity is another alert", "resolved twohop_link_down:b critical, firing twohop_link_down:b warning")
		w.set()
		looks(6)
		want("ended", "resolved twohop_link_down:b warning")
		looks(300)
		want("once", "")
	})
}

func TestAReceiverThatWasAwayHearsHowThingsAre(t *testing.T) {
	var r recorder
	r.answer(http.StatusServiceUnavailable)
	var events strings.Builder
	log := slog.New(slog.NewTextHandler(&events, nil))
	run(t, Options{Webhook: "http://user:secret@w/secret?secret", HTTP: client(r.serve), Log: log}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"}, Alarm{Kind: LinkDown, Subject: "c"})
		looks(100)
		v := a.View().Receivers[0]
		if v.State != Down || v.Waiting != 0 && v.Waiting != 2 || v.Sent != 0 || v.Failed < 6 || v.Failed > 12 || v.LastError != "HTTP 503: not today" || v.Address != "http://w" {
			t.Errorf("%+v", v)
		}
		for i := 1; i < len(r.at); i++ {
			pause, most := r.at[i].Sub(r.at[i-1]), min(time.Second<<(i-1), 30*time.Second)
			if pause < most*8/10 || pause > most*12/10 {
				t.Errorf("pause %d is %v, want about %v", i, pause, most)
			}
		}
		w.set(Alarm{Kind: LinkDown, Subject: "c"}) // b has ended, unheard
		looks(10)
		r.answer(0)
		looks(40)
		if got := r.taken(); got != "firing link_down:c, resolved link_down:b" && got != "resolved link_down:b, firing link_down:c" {
			t.Errorf("%q", got)
		}
		if v := a.View().Receivers[0]; v.State != Up || v.Waiting != 0 || v.Sent != 2 || v.Dropped != 0 {
			t.Errorf("%+v", v)
		}
	})
	if got := events.String(); strings.Count(got, "alarms are not delivered") != 1 || strings.Count(got, "alarms are delivered") != 1 || strings.Contains(got, "secret") {
		t.Error(got)
	}
}

// TestNewerWordTakesThePlaceOfWhatFails: the alarm ends while its begin is on the way.
func TestNewerWordTakesThePlaceOfWhatFails(t *testing.T) {
	var r recorder
	var first sync.Once
	slow := func(request *http.Request) (*http.Response, error) {
		var err error
		first.Do(func() {
			time.Sleep(20 * time.Second)
			err = errors.New("reset")
		})
		if err != nil {
			return nil, err
		}
		return r.serve(request)
	}
	run(t, Options{Webhook: "http://w", HTTP: client(slow)}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(5)
		w.set()
		looks(30)
		if got := r.taken(); got != "resolved link_down:b" {
			t.Errorf("%q", got)
		}
		if v := a.View().Receivers[0]; v.Sent != 1 || v.Waiting != 0 {
			t.Errorf("%+v", v)
		}
	})
}

func TestErrorsDoNotHaveTheURL(t *testing.T) {
	run(t, Options{Webhook: "http://user:secret@w/secret?secret", HTTP: client(broken)}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(1)
		if v := a.View().Receivers[0]; v.LastError != "no route to host" {
			t.Errorf("%+v", v)
		}
	})
}

func TestWhatAReceiverCallsMalformedIsNotSentAgain(t *testing.T) {
	var r recorder
	r.answer(http.StatusBadRequest)
	run(t, Options{Webhook: "http://w", HTTP: client(r.serve)}, func(t *testing.T, w *world, a *Alarms) {
		w.set(Alarm{Kind: LinkDown, Subject: "b"})
		looks(100)
		if v := a.View().Receivers[0]; v.Failed != 1 || v.Dropped != 1 || v.Waiting != 0 || v.State != Down {
			t.Errorf("%+v", v)
		}
		r.answer(0)
		w.set(Alarm{Kind: LinkDown, Subject: "c"})
		looks(1)
		if got := r.taken(); got != "firing link_down:c" {
			t.Errorf("the next: %q", got)
		}
	})
}

// TestAReceiverThatHangsHoldsNobodyUp: not the looks, not the other receivers, and not the end.
func TestAReceiverThatHangsHoldsNobodyUp(t *testing.T) {
	var r recorder
	hang := func(request *http.Request) (*http.Response, error) {
		if request.URL.Host == "am" {
			<-request.Context().Done()
			return nil, request.Context().Err()
		}
		return r.serve(request)
	}
	run(t, Options{Alertmanager: []string{"http://am"}, Webhook: "http://w", HTTP: client(hang)}, func(t *testing.T, w *world, a *Alarms) {
		for i := range 20 {
			w.set(Alarm{Kind: LinkDown, Subject: fmt.Sprint(i)})
			looks(1)
		}
		if got := r.taken(); strings.Count(got, "firing") != 20 {
			t.Error(got)
		}
		if list := a.List(true); len(list) != 20 {
			t.Error(list)
		}
	})
}

// TestTheEndIsLeftToTheLastNodeThatSeesIt has two nodes that see the same thing, and one of them longer.
func TestTheEndIsLeftToTheLastNodeThatSeesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var nodes [2]*Alarms
		var worlds [2]world
		for i, name := range []string{"a", "b"} {
			nodes[i] = start(t, Options{
				Node: name, Alertmanager: []string{"http://am"}, HTTP: client(r.serve), Sources: []Source{worlds[i].source},
				Elsewhere: func(context.Context) []Alarm { return slices.Concat(nodes[0].List(true), nodes[1].List(true)) },
			})
		}
		time.Sleep(500 * time.Millisecond)
		for i := range worlds {
			worlds[i].set(Alarm{Kind: NodeDead, Subject: "c"}, Alarm{Kind: LinkDown, Subject: "c"})
		}
		looks(1)
		if got := r.taken(); strings.Count(got, "firing") != 4 {
			t.Error("begun:", got)
		}
		worlds[0].set()
		looks(4)
		both := Alarm{Kind: ModuleAbsent, Subject: "pay"} // begins at both when the other ends at a
		worlds[1].set(Alarm{Kind: NodeDead, Subject: "c"}, Alarm{Kind: LinkDown, Subject: "c"}, both)
		looks(1)
		worlds[0].set(both)
		looks(5)
		if got := r.taken(); got != "firing twohop_module_absent:pay critical, firing twohop_module_absent:pay critical, resolved twohop_link_down:c critical" {
			t.Error("a does not see it any more:", got)
		}
		worlds[0].set()
		if v := nodes[0].View().Receivers[0]; v.Left != 1 || v.Waiting != 0 {
			t.Errorf("%+v", v)
		}
		worlds[1].set()
		looks(10)
		if got := r.taken(); strings.Count(got, "resolved twohop_node_dead:c") != 1 || strings.Count(got, "resolved") > 4 {
			t.Error("b does not, either:", got)
		}
	})
}

// TestARealServerThatFailsFirst is on a socket: the server hangs up, then refuses, then takes.
func TestARealServerThatFailsFirst(t *testing.T) {
	requests := make(chan post, 10)
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch tries++; tries {
		case 1:
			nc, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				nc.(*net.TCPConn).SetLinger(0)
				nc.Close()
			}
		case 2:
			http.Error(w, "starting", http.StatusServiceUnavailable)
		default:
			var p post
			if err := json.NewDecoder(r.Body).Decode(&p); err != nil || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
				t.Errorf("%s %v: %v", r.Method, r.Header, err)
			}
			requests <- p
		}
	}))
	defer server.Close()
	var w world
	w.set(Alarm{Kind: NodeDead, Subject: "c", Text: "no node that is heard reaches it"})
	a := start(t, Options{Webhook: server.URL + "/hook", Sources: []Source{w.source}, Every: 10 * time.Millisecond, Gone: 20 * time.Millisecond})
	p := <-requests
	if p.Version != 1 || p.Node != "a" || p.Mesh != "m" || len(p.Alarms) != 1 || p.Alarms[0].Status != "firing" || p.Alarms[0].Subject != "c" || p.Alarms[0].Do == "" {
		t.Errorf("%+v", p)
	}
	w.set()
	if p := <-requests; len(p.Alarms) != 1 || p.Alarms[0].Status != "resolved" || p.Alarms[0].Ended.IsZero() {
		t.Errorf("%+v", p)
	}
	if v := a.View().Receivers[0]; v.Failed != 2 {
		t.Errorf("%+v", v)
	}
}
