package rules

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/concurrency"
	"github.com/twohop/twohop/governance/ratelimit"
)

// Refuses says whether a rule would refuse a call.
type Refuses string

// The answers.
const (
	RefusesNo     Refuses = "no"
	RefusesYes    Refuses = "yes"
	RefusesShare  Refuses = "share"  // a share of such calls
	RefusesServer Refuses = "server" // the server decides it, next to the handler
)

// Explanation says what the rules say of a call that was not made.
type Explanation struct {
	Mark   governance.Mark `json:"mark"`
	Caller string          `json:"caller"`
	Module string          `json:"module"`
	Method string          `json:"method"`
	Group  string          `json:"group,omitempty"`

	// Rules are all whose scope the call is in, in the order in which they are asked, then what they lift, then settings.
	Rules []Finding `json:"rules"`

	// Decided is the id of the first rule that would refuse the call, empty if it would be admitted, and Code the status code.
	Decided string `json:"decided,omitempty"`
	Code    uint16 `json:"code,omitempty"`

	// Warnings say what may be a slip in the question: names that nobody has registered.
	Warnings []string `json:"warnings,omitempty"`

	// Settings are those that hold, each with the rule that it is from.
	Settings []SettingOf `json:"settings,omitempty"`
}

// Finding is what one rule says of the call.
type Finding struct {
	ID      string  `json:"id"`
	Kind    Kind    `json:"kind"`
	Scope   string  `json:"scope"`
	Line    int     `json:"line"`
	Shadow  bool    `json:"shadow,omitempty"`    // it refuses nobody, whatever Refuses says
	Over    bool    `json:"over,omitempty"`      // it has ended, and refuses nobody
	Lifted  string  `json:"lifted_by,omitempty"` // the rule that has taken it off
	Refuses Refuses `json:"refuses,omitempty"`   // empty of what cannot refuse
	Code    uint16  `json:"code,omitempty"`      // with which
	Why     string  `json:"why"`
}

// SettingOf is one setting that holds.
type SettingOf struct {
	Key   string `json:"key"` // as "timeout.max"
	Value string `json:"value"`
	Rule  string `json:"rule"`
	Line  int    `json:"line"`
}

// Explain says what would become of a call at now, and changes no counter.
func (s *Set) Explain(now time.Duration, c *governance.Call) Explanation {
	e := Explanation{Mark: s.mark, Caller: c.Caller, Module: c.Module, Method: c.Method, Group: c.Group}
	matching := s.matching(governance.Subject{Caller: c.Caller, Module: c.Module, Method: c.Method, Group: c.Group})
	settings, from := s.settings(matching)
	for _, r := range matching {
		f := Finding{ID: r.ID, Kind: r.kind, Scope: r.Scope.String(), Line: r.Line, Shadow: r.Shadow, Over: r.rule.Over(now)}
		r.explain(&f, now, c)
		for _, l := range matching {
			if l.Lift != nil && !l.Shadow && !l.rule.Over(now) && l.Lift.lifts(r.kind) {
				f.Lifted = l.ID
				break
			}
		}
		if r.rank >= ranks[KindTimeout] {
			f.Why = r.setting(from)
		}
		if e.Decided == "" && f.Refuses == RefusesYes && !f.Shadow && !f.Over && f.Lifted == "" {
			e.Decided, e.Code = f.ID, f.Code
		}
		e.Rules = append(e.Rules, f)
	}
	for _, r := range from {
		e.Settings = append(e.Settings, r.sets(settings)...)
	}
	return e
}

// explain says whether the rule alone would refuse the call, were it in force.
func (c *compiled) explain(f *Finding, now time.Duration, call *governance.Call) {
	f.Refuses = RefusesNo
	switch {
	case c.Addresses != nil || c.Callers != nil || c.Visibility != nil:
		// They have no state but the tally: asked with another one, and without an end, they say it themselves.
		v := c.newPolicy(governance.Rule{ID: c.ID, Tally: &governance.Tally{}}).Admit(now, call)
		if !v.Admitted() {
			f.Refuses, f.Code = RefusesYes, v.Code
		}
		f.Why = c.who(call, v.Admitted())
	case c.Password != nil:
		f.Refuses, f.Why = RefusesServer, "the server wants a digest by one of its keys"
	case c.Off != nil:
		f.Refuses, f.Code, f.Why = RefusesYes, codeDegraded, "all calls are off"
		if share := orDefault(c.Off.Share, 100); share < 100 {
			f.Refuses, f.Why = RefusesShare, decimal(share)+" % of the calls are off"
		}
	case c.Rate != nil && c.Rate.Per == PerInstance:
		f.Refuses, f.Why = RefusesServer, fmt.Sprintf("each instance takes %s per second", decimal(c.Rate.PerSecond))
	case c.Rate != nil:
		c.explainRate(f, now, call)
	case c.Concurrency != nil:
		c.explainConcurrency(f, call)
	case c.Lift != nil:
		var checks []string
		for _, kind := range c.Lift.Checks {
			checks = append(checks, string(kind))
		}
		f.Refuses, f.Why = "", "lifts "+strings.Join(checks, ", ")
	default:
		f.Refuses = ""
	}
}

// The status codes of limits, which only the policies give otherwise.
const (
	codeRateLimited = 21
	codeOverloaded  = 22
	codeDegraded    = 23
)

func (c *compiled) who(call *governance.Call, admitted bool) string {
	may := "may"
	if !admitted {
		may = "may not"
	}
	switch {
	case c.Callers != nil:
		return fmt.Sprintf("%s %s call", orDefault(call.Caller, "nobody"), may)
	case c.Visibility != nil && call.External:
		return fmt.Sprintf("for %s: an external caller %s call", c.Visibility.For, may)
	case c.Visibility != nil:
		return fmt.Sprintf("for %s: an internal caller %s call", c.Visibility.For, may)
	case !call.CallerIP.IsValid():
		return "calls from this machine (no address) " + may + " come"
	}
	return fmt.Sprintf("calls from %v %s come", call.CallerIP.Unmap(), may)
}

// explainRate looks into the bucket, and takes nothing.
func (c *compiled) explainRate(f *Finding, now time.Duration, call *governance.Call) {
	bucket := c.counts.bucket
	if c.counts.buckets != nil {
		if bucket = c.counts.buckets.peek(call.Caller); bucket == nil {
			bucket = ratelimit.NewBucket(c.Rate.PerSecond, c.Rate.burst())
		}
	}
	left, perSecond := bucket.Left(now), bucket.Rate()
	f.Why = c.left(left, perSecond)
	if left >= 1 {
		return
	}
	wait := time.Duration(math.MaxInt64)
	if perSecond > 0 {
		wait = time.Duration(min((1-left)/perSecond*1e9, math.MaxInt64/2)).Round(time.Millisecond)
	}
	most := time.Duration(c.Rate.MaxWait)
	if call.Budget > 0 {
		most = min(most, call.Budget)
	}
	switch {
	case c.Rate.Over == OverAlarm:
		f.Why += "; over the limit it only alarms"
	case c.Rate.Over == OverPace && !call.OneWay && wait <= most:
		f.Why += fmt.Sprintf("; the call would be held for %v", wait)
	default:
		f.Refuses, f.Code = RefusesYes, codeRateLimited
	}
}

// left says how much a bucket has. That of a limit of the whole mesh has the part of it that this node may let through now.
func (c *compiled) left(tokens, perSecond float64) string {
	has, earns := decimal(math.Floor(tokens*10)/10), decimal(math.Round(perSecond*10)/10)
	limit, burst := decimal(c.Rate.PerSecond), decimal(c.Rate.burst())
	switch {
	case c.Rate.Per == PerNode:
		return fmt.Sprintf("%s of %s left at %s per second, which each node has", has, burst, earns)
	case perSecond == c.Rate.PerSecond: // the share is all of it, as at a node that is alone
		return fmt.Sprintf("%s of %s left at %s per second", has, burst, earns)
	}
	return fmt.Sprintf("%s left of this node's share, which is %s per second; the mesh has %s per second, burst %s", has, earns, limit, burst)
}

// explainConcurrency looks at the gauge, and takes nothing.
func (c *compiled) explainConcurrency(f *Finding, call *governance.Call) {
	gauge := c.counts.gauge
	if c.counts.gauges != nil {
		if gauge = c.counts.gauges.peek(call.Caller); gauge == nil {
			gauge = concurrency.NewGauge()
		}
	}
	f.Why = fmt.Sprintf("%d of %d in flight", gauge.Held(), c.Concurrency.Max)
	if gauge.Held() >= c.Concurrency.Max {
		f.Refuses, f.Code = RefusesYes, codeOverloaded
	}
}

// setting says whether a setting holds.
func (c *compiled) setting(from []*compiled) string {
	for _, holds := range from {
		if holds == c {
			return "holds"
		}
		if holds.kind == c.kind && !c.Shadow {
			return "a more specific rule holds: " + holds.ID
		}
	}
	if c.Shadow {
		return "in shadow a setting has no effect"
	}
	return "has ended"
}

// sets returns those of the settings that are from the rule.
func (c *compiled) sets(s governance.Settings) (all []SettingOf) {
	add := func(key, value string) { all = append(all, SettingOf{key, value, c.ID, c.Line}) }
	switch {
	case c.Timeout != nil:
		if s.DefaultTimeout > 0 {
			add("timeout.default", s.DefaultTimeout.String())
		}
		if s.MaxTimeout > 0 {
			add("timeout.max", s.MaxTimeout.String())
		}
	case c.Retry != nil:
		add("retry.max_attempts", fmt.Sprint(s.MaxAttempts))
	case c.Balance != nil:
		add("balance.by", c.Balance.By)
	case c.Late != nil:
		add("late.do", c.Late.Do)
	}
	return all
}
