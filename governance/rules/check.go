package rules

import (
	"fmt"
	"slices"
	"time"
)

// Check judges what depends on the time: a rule that would have ended already is refused, unless the previous document, which may be
// nil, has one of the same id and the same end. The error is *Invalid.
func (d *Document) Check(previous *Document, now time.Time) error {
	ends := map[string]time.Time{}
	if previous != nil {
		for _, r := range previous.Rules {
			ends[r.ID] = r.Until
		}
	}
	var problems []Problem
	for i := range d.Rules {
		r := &d.Rules[i]
		if before, was := ends[r.ID]; r.ended(now) && !(was && before.Equal(r.Until)) {
			problems = append(problems, r.problem(r.until, fmt.Sprintf("until: %s is in the past: it is %s; the rule %s would do nothing",
				r.Until.Format(time.RFC3339), now.UTC().Format(time.RFC3339), r.ID)))
		}
	}
	return invalid(problems)
}

// problem says something about what stands at a place, or, where that is not known, about the rule.
func (r *Rule) problem(at position, message string) Problem {
	if at.line == 0 {
		return Problem{r.Line, 1, message}
	}
	return Problem{int(at.line), int(at.column), message}
}

// Known says what is registered in the mesh.
type Known interface {
	Modules() []string
	Methods(module string) []string
}

// Warnings names what is allowed and may be a slip of the pen: modules and methods that nobody has registered. They are in
// the order of the text. Callers need no registration, so nothing is said of them.
func (d *Document) Warnings(k Known) []Problem {
	var problems []Problem
	modules := k.Modules()
	warn := func(r *Rule, at position, key, name string, known []string, where string) bool {
		if name == "" || slices.Contains(known, name) {
			return false
		}
		problems = append(problems, r.problem(at, unregistered(key, name, known, where)))
		return true
	}
	methods := map[string][]string{}
	for i := range d.Rules {
		r := &d.Rules[i]
		if warn(r, r.module, "module", r.Module, modules, "") || r.Module == "" || r.Method == "" {
			continue
		}
		known, asked := methods[r.Module]
		if !asked {
			known = k.Methods(r.Module)
			methods[r.Module] = known
		}
		warn(r, r.method, "method", r.Method, known, " in "+r.Module)
	}
	inOrder(problems)
	return problems
}

func unregistered(key, name string, known []string, where string) string {
	message := fmt.Sprintf("%s: nobody has registered %s%s", key, name, where)
	if meant := nearest(name, known); meant != "" {
		message += "; did you mean " + meant + "?"
	}
	return message
}

// Warned returns the explanation with a warning if nobody has registered the method that it is about, or its module.
func (e Explanation) Warned(k Known) Explanation {
	modules := k.Modules()
	if !slices.Contains(modules, e.Module) {
		e.Warnings = append(slices.Clip(e.Warnings), unregistered("module", e.Module, modules, ""))
		return e
	}
	if methods := k.Methods(e.Module); e.Method != "" && !slices.Contains(methods, e.Method) {
		e.Warnings = append(slices.Clip(e.Warnings), unregistered("method", e.Method, methods, " in "+e.Module))
	}
	return e
}
