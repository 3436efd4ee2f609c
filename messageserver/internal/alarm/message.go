package alarm

import (
	"encoding/json"
	"maps"
	"time"
)

// encode makes the body of a request.
func (r *receiver) encode(batch []message) ([]byte, error) {
	now := r.alarms.opts.Wall().Round(0).UTC()
	if r.kind == Webhook {
		return json.Marshal(r.post(batch, now))
	}
	alerts := make([]alert, 0, len(batch))
	for i := range batch {
		alerts = append(alerts, r.alert(&batch[i].alarm, now))
	}
	return json.Marshal(alerts)
}

// alert is one of Alertmanager's v2 API.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// alert makes what Alertmanager gets. It takes alerts with the same labels for one, so the labels are what the alarm is, and
// the same from each node where the condition is the mesh's; who reports it is an annotation, of which the last one counts.
func (r *receiver) alert(a *Alarm, now time.Time) alert {
	kind := kindOf(a.Kind)
	labels := map[string]string{
		"alertname": "twohop_" + a.Kind, "kind": a.Kind, "mesh": a.Mesh, "severity": string(a.Severity), "subject": a.Subject,
	}
	if kind.Scope == ScopeNode {
		labels["node"] = a.Node
	}
	maps.Copy(labels, a.Labels) // labelName has kept the others out
	one := alert{
		Labels: labels,
		Annotations: map[string]string{
			"summary": a.Kind + ": " + a.Subject, "description": a.Text, "means": kind.Means, "do": kind.Do,
			"reported_by": a.Node, "fingerprint": a.Fingerprint,
		},
		StartsAt: a.Since, EndsAt: a.Ended, GeneratorURL: r.alarms.opts.Site,
	}
	if a.Lasts() {
		one.EndsAt = now.Add(lapses * r.alarms.opts.Resend)
	}
	return one
}

// post is what a webhook gets; docs/alarms.md shows it.
type post struct {
	Version int       `json:"version"` // 1
	Mesh    string    `json:"mesh"`
	Node    string    `json:"node"` // that sends it
	Sent    time.Time `json:"sent"`
	Alarms  []posted  `json:"alarms"`
}

type posted struct {
	Status string `json:"status"` // firing, resolved
	Alarm
	Means string `json:"means,omitempty"`
	Do    string `json:"do,omitempty"`
}

func (r *receiver) post(batch []message, now time.Time) post {
	p := post{Version: 1, Mesh: r.alarms.opts.Mesh, Node: r.alarms.opts.Node, Sent: now, Alarms: make([]posted, 0, len(batch))}
	for _, m := range batch {
		one := posted{Status: "firing", Alarm: m.alarm, Means: kindOf(m.alarm.Kind).Means, Do: kindOf(m.alarm.Kind).Do}
		if !m.alarm.Lasts() {
			one.Status = "resolved"
		}
		p.Alarms = append(p.Alarms, one)
	}
	return p
}
