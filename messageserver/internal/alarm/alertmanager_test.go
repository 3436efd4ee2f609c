package alarm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// alertmanager starts one in a process of its own and returns its base URL. What it sends is posted to hook.
func alertmanager(t *testing.T, hook string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatal("scripts/test installs the Debian package prometheus-alertmanager: ", err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`
route: {receiver: hook, group_by: [alertname, subject], group_wait: 1ms, group_interval: 10ms, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: %q, send_resolved: true}]
`, hook)
	path := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// A port that was free a moment ago may be taken: another one is tried.
	for range 5 {
		if base, ok := tryAlertmanager(t, program, path, dir); ok {
			return base
		}
	}
	t.Fatal("no alertmanager has started")
	return ""
}

func tryAlertmanager(t *testing.T, program, config, dir string) (base string, ok bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	command := exec.Command(program, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	out, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	listens, read := make(chan bool, 1), make(chan struct{})
	var text strings.Builder
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(&text, lines.Text())
			if strings.Contains(lines.Text(), "Listening on") {
				listens <- true
			}
		}
		close(listens)
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-read
		command.Wait()
		if t.Failed() {
			t.Logf("alertmanager:\n%s", &text)
		}
	})
	select {
	case ok = <-listens:
	case <-time.After(30 * time.Second):
		t.Error("alertmanager does not listen after 30 s")
	}
	return "http://" + address, ok
}

// hooked is what Alertmanager has told somebody.
type hooked struct {
	Status string `json:"status"`
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

// acknowledged is a network that tells how each request was answered.
type acknowledged struct {
	over http.RoundTripper
	ok   chan string // HTTP status
}

func (a *acknowledged) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := a.over.RoundTrip(r)
	if err == nil {
		a.ok <- answer.Status
	}
	return answer, err
}

// TestAlertmanager has two nodes, a real Alertmanager, and who is told by it.
func TestAlertmanager(t *testing.T) {
	told := make(chan hooked, 100)
	var wrong sync.Once
	operator := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var h hooked
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil {
			wrong.Do(func() { t.Error(err) })
		}
		told <- h
	}), ReadHeaderTimeout: time.Minute}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		operator.Serve(l)
	}()
	t.Cleanup(func() {
		operator.Close()
		<-served
	})
	base := alertmanager(t, "http://"+l.Addr().String())

	transport := &acknowledged{over: &http.Transport{}, ok: make(chan string, 1000)}
	t.Cleanup(transport.over.(*http.Transport).CloseIdleConnections)
	var nodes [2]*Alarms
	var worlds [2]world
	hello := Alarm{Kind: NodeDead, Subject: "c", Text: "no node \xff \"reaches\" it", Labels: map[string]string{"zone-1": "x", "kind": "y"}}
	for i, name := range []string{"a", "b"} {
		worlds[i].set(hello, Alarm{Kind: LinkDown, Subject: "c"})
		nodes[i] = start(t, Options{
			Node: name, Alertmanager: []string{base}, HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}, Sources: []Source{worlds[i].source},
			Every: 10 * time.Millisecond, Gone: 20 * time.Millisecond, Site: "http://127.0.0.1:7071",
		})
	}
	for range nodes {
		if status := <-transport.ok; status != "200 OK" {
			t.Fatalf("Alertmanager says %s: %+v", status, nodes[0].View().Receivers)
		}
	}

	alerts := func(filter string) (list []struct {
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		GeneratorURL string            `json:"generatorURL"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
	}) {
		t.Helper()
		answer, err := (&http.Client{Transport: transport.over}).Get(base + "/api/v2/alerts?filter=" + url.QueryEscape(filter))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	dead := alerts(`alertname="twohop_node_dead"`)
	if len(dead) != 1 {
		t.Fatalf("the mesh's condition from two nodes is %d alerts: %+v", len(dead), dead)
	}
	want := map[string]string{
		"alertname": "twohop_node_dead", "kind": "node_dead", "mesh": "m", "severity": "critical", "subject": "c", "zone_1": "x", "x_kind": "y",
	}
	if fmt.Sprint(dead[0].Labels) != fmt.Sprint(want) {
		t.Errorf("labels %v, want %v", dead[0].Labels, want)
	}
	if one := dead[0]; one.Annotations["description"] != "no node \uFFFD \"reaches\" it" || one.Annotations["reported_by"] == "" || one.Annotations["do"] == "" ||
		one.GeneratorURL != "http://127.0.0.1:7071" || time.Until(one.EndsAt) < time.Minute {
		t.Errorf("%+v", one)
	}
	if down := alerts(`alertname="twohop_link_down"`); len(down) != 2 || down[0].Labels["node"] == down[1].Labels["node"] {
		t.Errorf("two nodes' own views are %d alerts: %+v", len(down), down)
	}

	wantTold := func(when, status string) {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			select {
			case h := <-told:
				for _, one := range h.Alerts {
					if one.Labels["alertname"] == "twohop_node_dead" && one.Status == status {
						return
					}
					if one.Labels["alertname"] == "twohop_node_dead" {
						t.Errorf("%s: the operator hears %s, want %s", when, one.Status, status)
					}
				}
			case <-limit:
				t.Fatalf("%s: the operator does not hear of it", when)
			}
		}
	}
	wantTold("begun", "firing")
	for i := range worlds {
		worlds[i].set()
	}
	wantTold("ended", "resolved")
	for range nodes { // until both have been heard
		if status := <-transport.ok; status != "200 OK" {
			t.Fatalf("Alertmanager says %s", status)
		}
	}
	if left := alerts(`mesh="m"`); len(left) != 0 {
		t.Errorf("after their end: %+v", left)
	}
}
