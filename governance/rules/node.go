package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader reads the nodes of one document and keeps what is wrong with them.
type reader struct {
	problems []Problem
	lines    int // above the piece that is read
}

func (r *reader) full() bool { return len(r.problems) >= maxProblems }

func (r *reader) wrongf(n *yaml.Node, format string, args ...any) {
	if !r.full() {
		r.problems = append(r.problems, Problem{n.Line + r.lines, n.Column, fmt.Sprintf(format, args...)})
	}
}

// plain reports whether the nodes are values and nothing that stands for values; it names what is not.
func (r *reader) plain(n *yaml.Node) bool {
	found := len(r.problems)
	switch {
	case n.Kind == yaml.AliasNode:
		r.wrongf(n, "an alias (*name): write the value out")
	case n.Anchor != "":
		r.wrongf(n, "an anchor (&name): write the value out where it is used")
	case n.Tag == "!!merge" && n.Style&yaml.TaggedStyle == 0:
		r.wrongf(n, "a merge key (<<): write the keys out")
	case n.Style&yaml.TaggedStyle != 0:
		r.wrongf(n, "a tag (!name): write the value without it")
	}
	for _, c := range n.Content {
		if !r.full() && !r.plain(c) {
			break
		}
	}
	return len(r.problems) == found
}

// fields are the known keys of a mapping.
type fields struct {
	*reader
	path   string // of keys, in front of each, as "rate."
	node   *yaml.Node
	values map[string]*yaml.Node
	failed bool // the node is no mapping
	secret bool // what stands where it should not may be a secret, and is not repeated
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// mapping reads n, which must be a mapping with none but the known keys. what names it.
func (r *reader) mapping(n *yaml.Node, what, path string, known ...string) *fields {
	f := &fields{reader: r, path: path, node: n, values: make(map[string]*yaml.Node, len(known))}
	f.fill(what, known)
	return f
}

func (f *fields) fill(what string, known []string) {
	n := f.node
	switch {
	case isNull(n):
		f.wrongf(n, "%s has no value, must be keys and values: %s", what, strings.Join(known, ", "))
		f.failed = true
		return
	case n.Kind != yaml.MappingNode:
		f.wrongf(n, "%s must be keys and values: %s", what, strings.Join(known, ", "))
		f.failed = true
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		switch first := f.values[name]; {
		case key.Kind != yaml.ScalarNode:
			f.wrongf(key, "%s has a key that is no word; its keys are %s", what, strings.Join(known, ", "))
		case !slices.Contains(known, name):
			f.unknown(key, what, known)
		case first != nil:
			f.wrongf(key, "%s%s stands twice: its value stands in line %d already", f.path, name, first.Line+f.lines)
		default:
			f.values[name] = value
		}
	}
}

func (f *fields) unknown(key *yaml.Node, what string, known []string) {
	if f.secret {
		f.wrongf(key, "%s has a key that it cannot have; its keys are %s (key: value has a blank after the colon)", what, strings.Join(known, ", "))
		return
	}
	if meant := nearest(key.Value, known); meant != "" {
		f.wrongf(key, "%s is not a key of %s; did you mean %s?", quoted(key.Value), what, meant)
		return
	}
	f.wrongf(key, "%s is not a key of %s; its keys are %s", quoted(key.Value), what, strings.Join(known, ", "))
}

// require reports whether the keys are there, and names those that are not.
func (f *fields) require(keys ...string) bool {
	if f.failed {
		return false
	}
	all := true
	for _, key := range keys {
		if f.values[key] == nil {
			f.wrongf(f.node, "%s%s is missing", f.path, key)
			all = false
		}
	}
	return all
}

// has reports whether the key is there.
func (f *fields) has(key string) bool { return f.values[key] != nil }

// keyWrongf says what is wrong with the value of a key.
func (f *fields) keyWrongf(key, format string, args ...any) {
	n := f.values[key]
	if n == nil {
		n = f.node
	}
	f.wrongf(n, "%s%s: %s", f.path, key, fmt.Sprintf(format, args...))
}

// text returns the single value of a key; where there is none, or something else, it returns "" and false.
func (f *fields) text(key string) (string, bool) {
	n := f.values[key]
	switch {
	case n == nil:
		return "", false
	case isNull(n):
		f.keyWrongf(key, "has no value")
		return "", false
	case n.Kind != yaml.ScalarNode:
		f.keyWrongf(key, "must be a single value")
		return "", false
	}
	return n.Value, true
}

// name returns a name.
func (f *fields) name(key string) string {
	s, ok := f.text(key)
	if !ok {
		return ""
	}
	if text := checkName(s); text != "" {
		f.keyWrongf(key, "%s", text)
		return ""
	}
	return s
}

// oneOf returns a value that is one of the choices.
func (f *fields) oneOf(key string, choices ...string) string {
	s, ok := f.text(key)
	if ok && !slices.Contains(choices, s) {
		f.keyWrongf(key, "is %s, must be %s", quoted(s), either(choices))
		return ""
	}
	return s
}

func either(choices []string) string {
	if len(choices) < 2 {
		return strings.Join(choices, "")
	}
	return strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
}

// list calls each for the single values of a list, which has at least one, and returns their number. A list of one may be written as
// its value.
func (f *fields) list(key string, most int, each func(n *yaml.Node)) {
	n := f.values[key]
	switch {
	case n == nil:
		return
	case n.Kind != yaml.SequenceNode:
		f.keyWrongf(key, "must be a list, as [a, b]")
		return
	case len(n.Content) == 0:
		f.keyWrongf(key, "is empty: leave the key out, or name something")
		return
	case len(n.Content) > most:
		f.keyWrongf(key, "has %d entries, must have at most %d", len(n.Content), most)
		return
	}
	for _, c := range n.Content {
		each(c)
	}
}

// words returns a list of single values; check says what is wrong with one, and keeps it if that is "".
func (f *fields) words(key string, most int, check func(s string) string) {
	seen := make(map[string]bool)
	f.list(key, most, func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || isNull(n) {
			f.wrongf(n, "%s%s: each entry must be a single value", f.path, key)
			return
		}
		if seen[n.Value] {
			f.wrongf(n, "%s%s: %s stands twice", f.path, key, quoted(n.Value))
			return
		}
		seen[n.Value] = true
		if text := check(n.Value); text != "" {
			f.wrongf(n, "%s%s: %s", f.path, key, text)
		}
	})
}
