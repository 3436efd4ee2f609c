package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// foreign are variables with our prefix that Kubernetes sets in every pod beside a service called twohop.
var foreign = regexp.MustCompile(`^TWOHOP_(SERVICE_(HOST|PORT)|PORT$|PORT_[0-9])|^TWOHOP_[A-Z0-9_]+_(SERVICE_(HOST|PORT)|PORT_[0-9]+_)`)

// readEnvironment lays the variables over v. named are variables that are known besides those of keys.
func readEnvironment(env, named []string, v reflect.Value, places map[string]Place) (problems Problems) {
	byVariable := make(map[string]key)
	var variables []string
	for _, k := range keys {
		byVariable[variable(k.name)] = k
		variables = append(variables, variable(k.name))
	}
	env = slices.Sorted(slices.Values(env))
	for _, entry := range env {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || slices.Contains(named, name) || foreign.MatchString(name) {
			continue
		}
		place := Place{source: inEnvironment, name: name}
		k, ok := byVariable[name]
		if !ok {
			problems = append(problems, Problem{place, "", unknownVariable(name, slices.Clone(variables))})
			continue
		}
		places[k.name] = place
		if err := assign(v.FieldByIndex(k.index), k.name, text); err != nil {
			problems = append(problems, Problem{place, k.name, err.Error()})
		}
	}
	return problems
}

func unknownVariable(name string, variables []string) string {
	for _, k := range lists {
		if name == variable(k.name) {
			return fmt.Sprintf("%s is a list: lists stand in the file, with secret_env for their secrets", k.name)
		}
	}
	for i := range variables {
		variables[i] = strings.TrimPrefix(variables[i], prefix)
	}
	if meant := nearest(strings.TrimPrefix(name, prefix), variables); meant != "" {
		return "is not a variable of twohop; " + prefix + meant + " is"
	}
	return "is not a variable of twohop; `twohop config print` shows the keys: " + variable("session.dead") + " sets session.dead"
}
