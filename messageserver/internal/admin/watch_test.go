package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/audit"
)

// wantAlarm waits until a node has an alarm of a kind.
func (n *node) wantAlarm(kind string) {
	n.t.Helper()
	for {
		for _, one := range n.governed.alarms.List(false) {
			if one.Kind == kind {
				return
			}
		}
		select {
		case <-n.t.Context().Done():
			n.t.Fatalf("%s has no alarm %s", n.name, kind)
		default:
		}
	}
}

func (g *governed) hold(all ...alarm.Alarm) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = all
}

// TestAlarmsOfTheMeshAreOneList: what two nodes see is one alarm, with both.
func TestAlarmsOfTheMeshAreOneList(t *testing.T) {
	w := govern(t, "a", "b", "c")
	a := w.nodes["a"]
	lost := alarm.Alarm{Kind: "module_absent", Subject: "book", Text: "nobody serves book"}
	a.governed.hold(lost)
	w.nodes["b"].governed.hold(lost, alarm.Alarm{Kind: "limit_exceeded", Subject: "pay-limit", Text: "200 of 100"})
	a.wantAlarm("module_absent")
	w.nodes["b"].wantAlarm("module_absent")
	w.nodes["b"].wantAlarm("limit_exceeded")
	var got struct {
		Alarms []alarm.Alarm
		View   alarm.View
		Nodes  []heardRow
	}
	a.wantJSON("/v1/alarms", http.StatusOK, &got)
	if len(got.Alarms) != 1 || got.View.Lasting != 1 || len(got.Nodes) != 1 {
		t.Errorf("got %+v", got)
	}
	a.wantJSON("/v1/alarms?scope=mesh&all=true", http.StatusOK, &got)
	reporters := map[string]string{}
	for _, one := range got.Alarms {
		reporters[one.Kind] = strings.Join(one.Reporters, " ")
	}
	if len(got.Alarms) != 2 || reporters["module_absent"] != "a b" || reporters["limit_exceeded"] != "b" || len(got.Nodes) != 3 {
		t.Errorf("got %+v", got)
	}
	for _, query := range []string{"?scope=x", "?all=x"} {
		a.wantText("/v1/alarms"+query, http.StatusBadRequest, `"error"`)
	}
	_, metrics, _ := a.get("/metrics")
	if want := `twohop_alarms{kind="module_absent",severity="` + string(got.Alarms[0].Severity) + `"} 1`; !strings.Contains(metrics, "twohop_alarms{kind=\"module_absent\"") {
		t.Errorf("there is no %s", want)
	}
}

// TestEveryChangeIsInTheAuditLog with who made it, why, and from where.
func TestEveryChangeIsInTheAuditLog(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	a.turn(`{"action": "off", "module": "pay", "reason": "ticket 2", "author": "jo"}`)
	a.send(http.MethodPost, "/v1/rules/rollback", asJSON, `{"to": "1.1", "reason": "ticket 3"}`, nil)
	a.turn(`{"action": "off", "module": "pay", "dry_run": true}`)
	var got struct {
		Records []audit.Record
		View    audit.View
	}
	a.wantJSON("/v1/audit", http.StatusOK, &got)
	var all []string
	for _, r := range got.Records {
		if !strings.HasPrefix(r.Remote, "127.0.0.1:") || r.Node != "a" {
			t.Errorf("got %+v", r)
		}
		all = append(all, strings.Join([]string{r.Action, r.Author, r.Reason, r.From, r.To}, ","))
	}
	want := "rules.rollback,anonymous,rollback to 1.1: ticket 3,1.2,1.3 rules.switch,jo,ticket 2,1.1,1.2 rules.apply,kim,a test,0.0,1.1"
	if line := strings.Join(all, " "); line != want || got.View.Seq != 3 {
		t.Errorf("got %s, want %s; %+v", line, want, got.View)
	}
	for query, want := range map[string]int{"?author=jo": 1, "?action=rules.apply": 1, "?limit=2": 2, "?since=1h": 3, "?since=2040-01-01T00:00:00Z": 0} {
		a.wantJSON("/v1/audit"+query, http.StatusOK, &got)
		if len(got.Records) != want || got.Records == nil {
			t.Errorf("%s: %d records, want %d", query, len(got.Records), want)
		}
	}
	for _, query := range []string{"?since=x", "?limit=0"} {
		a.wantText("/v1/audit"+query, http.StatusBadRequest, `"error"`)
	}
}

func TestSharesOfTheMesh(t *testing.T) {
	w := govern(t, "a", "b", "c")
	w.cut("a", "b", "down", "gone")
	var got struct {
		Nodes []struct {
			Node, Error string
			Shares      []struct{ Key string }
		}
	}
	w.nodes["a"].wantJSON("/v1/quota?scope=mesh", http.StatusOK, &got)
	if len(got.Nodes) != 3 || got.Nodes[0].Node != "a" || got.Nodes[1].Error == "" || got.Nodes[2].Node != "c" || got.Nodes[2].Error != "" {
		t.Errorf("got %+v", got)
	}
	w.nodes["a"].wantText("/v1/quota?scope=x", http.StatusBadRequest, "must be node or mesh")
}
