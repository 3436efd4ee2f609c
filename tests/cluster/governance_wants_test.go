package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// ruleState is what a rule has done at a node.
type ruleState struct {
	ID       string `json:"id"`
	Refused  uint64 `json:"refused"`
	Shadowed uint64 `json:"shadowed"`
	Paced    uint64 `json:"paced"`
	Ended    bool   `json:"ended"`
}

// rulesView is what a node says of the rules.
type rulesView struct {
	Mark     mark        `json:"mark"`
	Text     string      `json:"text"`
	Source   string      `json:"source"`
	Rules    []ruleState `json:"rules"`
	Troubles []struct {
		Kind  string `json:"kind"`
		Cause string `json:"cause"`
	} `json:"troubles"`
}

// rules returns what is in force at the node.
func (o *operator) rules() (v rulesView) {
	o.g.t.Helper()
	o.get("/v1/rules", &v)
	return v
}

// rule returns what one rule has done there.
func (o *operator) rule(id string) ruleState {
	o.g.t.Helper()
	v := o.rules()
	i := slices.IndexFunc(v.Rules, func(r ruleState) bool { return r.ID == id })
	if i < 0 {
		o.g.t.Fatalf("node %s has no rule %s: %+v", o.node, id, v)
	}
	return v.Rules[i]
}

// trouble returns why there is a trouble of a kind with the rules at the node; empty: there is none.
func (o *operator) trouble(kind string) string {
	o.g.t.Helper()
	for _, tr := range o.rules().Troubles {
		if tr.Kind == kind {
			return tr.Cause
		}
	}
	return ""
}

// wantMark waits until a version is in force at the node.
func (o *operator) wantMark(m mark, d time.Duration) {
	o.g.t.Helper()
	o.g.withinSaying(d, func() string { return fmt.Sprintf("node %s has the rules %v, want %v", o.node, o.rules().Mark, m) },
		func() bool { return o.rules().Mark == m })
}

// alarm is one that lasts.
type alarm struct {
	Kind      string   `json:"kind"`
	Subject   string   `json:"subject"`
	Text      string   `json:"text"`
	Reporters []string `json:"reporters"`
}

// alarms returns what lasts, as the whole mesh says it to one node.
func (o *operator) alarms(kind string) (found []alarm) {
	o.g.t.Helper()
	var v struct {
		Alarms []alarm `json:"alarms"`
	}
	o.get("/v1/alarms?scope=mesh", &v)
	for _, a := range v.Alarms {
		if a.Kind == kind {
			found = append(found, a)
		}
	}
	return found
}

// wantAlarm waits until there is one of a kind, for 5 s.
func (o *operator) wantAlarm(kind, subject string) (found alarm) {
	o.g.t.Helper()
	o.g.within(5*time.Second, "node "+o.node+" lists the alarm "+kind+" of "+subject, func() bool {
		for _, a := range o.alarms(kind) {
			if subject == "" || a.Subject == subject {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// wantNoAlarm waits until there is none of a kind any more: alarms last 5 s longer than what they are about.
func (o *operator) wantNoAlarm(kind string) {
	o.g.t.Helper()
	o.g.within(8*time.Second, "node "+o.node+" lists no alarm "+kind, func() bool { return len(o.alarms(kind)) == 0 })
}

// wantRefused makes a call, and wants a rule to refuse it.
func (a *caller) wantRefused(method string, code rpcclient.Code, rule string, version uint64) *rpcclient.Error {
	a.m.t.Helper()
	name, body := a.m.ledger.named(a.name, 0)
	_, err := a.via.CallRaw(a.m.ctx, method, body)
	a.m.ledger.end(name, err)
	if err == nil {
		a.m.t.Fatalf("%s calls %s: it succeeds, want %v by the rule %s", a.name, method, code, rule)
	}
	e := wantCode(a.m.t, err, code)
	if e.RuleID != rule || e.RuleVersion != version || e.Class != rpcclient.NotExecuted {
		a.m.t.Fatalf("%s calls %s: %v: want the rule %s, version %d", a.name, method, err, rule, version)
	}
	return e
}

// wantOK makes a call that succeeds.
func (a *caller) wantOK(method string, opts ...rpcclient.CallOption) {
	a.m.t.Helper()
	if err := a.tries(method, opts...); err != nil {
		a.m.t.Fatalf("%s calls %s: %v", a.name, method, err)
	}
}

// tries makes a call and says how it ended.
func (a *caller) tries(method string, opts ...rpcclient.CallOption) error {
	name, body := a.m.ledger.named(a.name, 0)
	answer, err := a.via.CallRaw(a.m.ctx, method, body, opts...)
	a.m.ledger.end(name, err)
	if err == nil && !bytes.Equal(answer, body) {
		return fmt.Errorf("it was answered %.40q", answer)
	}
	return err
}
