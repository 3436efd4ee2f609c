package rules

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	scopeKeys = []string{"module", "method", "group", "caller"}
	ruleKeys  = append(append([]string{"id"}, scopeKeys...), "until", "shadow", "note")
)

// rule reads one rule, and keeps it if nothing was wrong.
func (p *parser) rule(n *yaml.Node, d *Document) {
	if p.full() || !p.plain(n) {
		return
	}
	found := len(p.problems)
	f := p.mapping(n, "a rule", "", append(ruleKeys, kindKeys...)...)
	if f.failed {
		return
	}
	r := Rule{Line: n.Line + p.lines}
	f.require("id")
	r.ID = f.name("id")
	if line, again := p.ids[r.ID]; again && r.ID != "" {
		f.keyWrongf("id", "%s is the id of the rule in line %d, too: ids are unique", r.ID, line)
	} else if r.ID != "" {
		p.ids[r.ID] = r.Line
	}
	f.scope(&r)
	f.until(&r)
	switch s, ok := f.text("shadow"); {
	case ok && s == "true":
		r.Shadow = true
	case ok && s != "false":
		f.keyWrongf("shadow", "is %s, must be true or false", quoted(s))
	}
	if s, ok := f.text("note"); ok {
		if text := checkText(s, maxNote); text != "" {
			f.keyWrongf("note", "%s", text)
		}
		r.Note = s
	}
	kind := f.kind(&r)
	if kind == "" || len(p.problems) > found {
		return
	}
	p.fits(f, kind, &r)
	if len(p.problems) > found {
		return
	}
	r.module, r.method, r.until = f.position("module"), f.position("method"), f.position("until")
	d.Rules = append(d.Rules, r)
}

func (f *fields) position(key string) position {
	n := f.values[key]
	if n == nil {
		return position{}
	}
	return position{uint32(n.Line + f.lines), uint32(n.Column)}
}

func (f *fields) scope(r *Rule) {
	r.Module, r.Group, r.Caller = f.name("module"), f.name("group"), f.name("caller")
	r.Method = f.name("method")
	if dot := strings.LastIndexByte(r.Method, '.'); dot >= 0 {
		f.keyWrongf("method", "is %s, has no dot: the module stands apart, as module: %s", quoted(r.Method), r.Method[:dot])
	}
	for _, key := range []string{"method", "group"} {
		if f.has(key) && !f.has("module") {
			f.keyWrongf(key, "needs module: whose %s it is", key)
		}
	}
}

func (f *fields) until(r *Rule) {
	s, ok := f.text("until")
	if !ok {
		return
	}
	at, err := time.Parse(time.RFC3339, s)
	switch {
	case err != nil:
		f.keyWrongf("until", "is %s, must be a time with its zone, as 2026-11-21T12:00:00Z or 2026-11-21T13:00:00+01:00", quoted(s))
	case at.Year() < 1970 || at.Year() > 2200:
		f.keyWrongf("until", "is %s, must be in a year from 1970 to 2200", quoted(s))
	default:
		r.Until = at
	}
}

// checkText returns what is wrong with a text for people, or "".
func checkText(s string, most int) string {
	if len(s) > most {
		return fmt.Sprintf("has %d bytes, must have at most %d", len(s), most)
	}
	for _, c := range s {
		if c < ' ' && c != '\n' && c != '\t' || 0x7f <= c && c < 0xa0 {
			return fmt.Sprintf("has the control character %U", c)
		}
	}
	return ""
}

// kind reads the kind of a rule, and returns it; "" if there is not exactly one.
func (f *fields) kind(r *Rule) Kind {
	var kind Kind
	first := ""
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		key := f.node.Content[i].Value
		read := kinds[Kind(key)]
		switch {
		case read == nil || f.node.Content[i+1] != f.values[key]:
		case first != "":
			f.wrongf(f.node.Content[i], "the rule has %s and %s: a rule has exactly one kind; make it two rules", first, key)
		default:
			first, kind = key, Kind(key)
			read(f, r)
		}
	}
	if first == "" {
		f.wrongf(f.node, "the rule says nothing: it needs one of %s", strings.Join(kindKeys, ", "))
	}
	return kind
}

// fits judges what a rule is beside others, and its kind beside its scope.
func (p *parser) fits(f *fields, kind Kind, r *Rule) {
	switch kind {
	case KindPassword:
		if r.Module == "" || r.Method == "" {
			f.keyWrongf("password", "needs module and method: a password is of one method")
		}
		if r.Group != "" {
			f.keyWrongf("group", "cannot stand with password: servers check it, and do not know which group the caller named")
		}
	case KindRate:
		if r.Rate.Per == PerInstance && r.Group != "" {
			f.keyWrongf("group", "cannot stand with per: instance: servers check it, and do not know which group the caller named")
		}
	case KindLift:
		if r.Until.IsZero() {
			f.wrongf(f.node, "until is missing: checks are lifted for a time")
		}
		if r.Lift.lifts(KindPassword) && (r.Caller != "" || r.Group != "") {
			f.keyWrongf("lift", "checks: password is lifted for a module or a method, and not for a caller or a group: servers check it for all alike")
		}
	case KindTimeout, KindRetry, KindBalance, KindLate:
		key := setting{r.Scope, kind}
		if other := p.settings[key]; other != nil {
			f.keyWrongf(string(kind), "the rule %s in line %d has the same scope (%s): which of them holds? Remove one, or make it more specific",
				other.ID, other.Line, r.Scope)
			return
		}
		p.settings[key] = r
	}
}
