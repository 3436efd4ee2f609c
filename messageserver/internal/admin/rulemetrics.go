package admin

import (
	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxShownRules = 500     // rules that have a series of their own
	otherRules    = "other" // the label of the others
)

// governing are the metrics of rules and alarms.
type governing struct {
	version, epoch, rulesInfo, rules, ruleRefused, ruleShadowed, ruleServers, alarms *prometheus.Desc
}

func newGoverning(desc func(name, help string, labels ...string) *prometheus.Desc) governing {
	return governing{
		version:      desc("rules_version", "The version of the rules in force, within its epoch."),
		epoch:        desc("rules_epoch", "The epoch of the rules in force."),
		rulesInfo:    desc("rules_info", "The hash of the rules in force; always 1.", "hash"),
		rules:        desc("rules_count", "Rules in force, those that have ended, too."),
		ruleRefused:  desc("rule_refused_total", "Calls that a rule has refused at this node.", "rule"),
		ruleShadowed: desc("rule_shadowed_total", "Calls that a rule in shadow would have refused at this node.", "rule"),
		ruleServers:  desc("rules_servers", "Server sessions here, by whether they have said that they enforce the rules in force.", "enforcing"),
		alarms:       desc("alarms", "Alarms that last, as this node sees them.", "kind", "severity"),
	}
}

// collectRules has a series for each of the first rules of the document. Those behind them are one, so that a large document makes
// no large answer.
func (g *governing) collectRules(e emitter, src *Sources) {
	if src.Rules == nil {
		return
	}
	own := src.Rules.Standing()
	e.gauge(g.version, float64(own.Version))
	e.gauge(g.epoch, float64(own.Epoch))
	e.gauge(g.rulesInfo, 1, own.Hash)
	e.gauge(g.rules, float64(own.Rules))
	type sums struct{ refused, shadowed uint64 }
	var order []string
	by := make(map[string]*sums)
	for i, rule := range src.Rules.Set().Describe(src.Now()) {
		label := rule.ID
		if i >= maxShownRules {
			label = otherRules
		}
		if by[label] == nil { // a rule may have the id "other"
			by[label] = new(sums)
			order = append(order, label)
		}
		by[label].refused += rule.Refused
		by[label].shadowed += rule.Shadowed
	}
	for _, label := range order {
		e.counter(g.ruleRefused, by[label].refused, label)
		e.counter(g.ruleShadowed, by[label].shadowed, label)
	}
	if src.Enforcing != nil {
		servers, enforcing := src.Enforcing("", own.Mark)
		e.gauge(g.ruleServers, float64(enforcing), "yes")
		e.gauge(g.ruleServers, float64(servers-min(enforcing, servers)), "no")
	}
}

func (g *governing) collectAlarms(e emitter, src *Sources) {
	if src.Alarms == nil {
		return
	}
	counts := make(map[[2]string]int)
	for _, one := range src.Alarms.List(false) {
		counts[[2]string{one.Kind, string(one.Severity)}]++
	}
	for of, n := range counts {
		e.gauge(g.alarms, float64(n), of[0], of[1])
	}
}
