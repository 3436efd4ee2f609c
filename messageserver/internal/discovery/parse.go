package discovery

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line, Column int
	Text         string
}

// String returns "line 3, column 5: what is wrong".
func (p Problem) String() string {
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text)
}

// Problems is the error of Parse: everything that is wrong, in the order of the file.
type Problems []Problem //nolint:errname // the list, and an error only because Parse returns it

const maxShown = 20

// Error has a line for each problem, at most 20; the rest is counted.
func (p Problems) Error() string { return p.text(Problem.String) }

func (p Problems) text(line func(Problem) string) string {
	var lines []string
	for _, problem := range p[:min(len(p), maxShown)] {
		lines = append(lines, line(problem))
	}
	if more := len(p) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Parse reads a list as Save writes it and as people do. The error is Problems; the list is nil then.
func Parse(text []byte) (List, error) {
	var p parser
	list := p.document(text)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, p.problems
	}
	return list.Sorted(), nil
}

// parser walks over one file.
type parser struct {
	problems Problems
	items    []item // beside the list, in the order of the file
}

// item is where a member and its keys stand.
type item struct {
	node *yaml.Node
	keys map[string]*yaml.Node
}

// halfWritten is said of what a file may look like while it is written.
const halfWritten = "is it half written?"

func (p *parser) wrongf(n *yaml.Node, format string, args ...any) {
	p.problems = append(p.problems, Problem{n.Line, n.Column, fmt.Sprintf(format, args...)})
}

func (p *parser) document(text []byte) List {
	begin := &yaml.Node{Line: 1, Column: 1}
	if len(bytes.TrimSpace(text)) == 0 {
		p.wrongf(begin, "the file is empty: %s", halfWritten)
		return nil
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		last := text[bytes.LastIndexByte(text, '\n')+1:]
		end := &yaml.Node{Line: 1 + bytes.Count(text, []byte("\n")), Column: 1 + len(last)}
		p.wrongf(end, "the last line does not end: %s", halfWritten)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		p.wrongf(begin, "the file has comments only: %s", halfWritten)
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		p.wrongf(&second, "a second document begins: the members are one document")
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
	}
	return p.root(document.Content[0])
}

// lineOf is how the YAML parser names a line.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (p *parser) syntax(err error) {
	at := &yaml.Node{Line: 1, Column: 1}
	if parts := lineOf.FindStringSubmatch(err.Error()); parts != nil && parts[1] != "" {
		at.Line, _ = strconv.Atoi(parts[1])
	}
	p.wrongf(at, "not YAML: %s; %s", lineOf.ReplaceAllString(err.Error(), ""), halfWritten)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (p *parser) root(n *yaml.Node) List {
	if n.Kind != yaml.MappingNode {
		p.wrongf(n, `is not a list of members: the file begins with "members:", and below it are lines that begin with -`)
		return nil
	}
	keys := p.mapping(n, "members")
	members := keys["members"]
	switch {
	case members == nil:
		if len(p.problems) == 0 {
			p.wrongf(n, "members is missing")
		}
		return nil
	case isNull(members) || members.Kind == yaml.SequenceNode && len(members.Content) == 0:
		p.wrongf(members, "members is empty: %s A mesh has at least the node itself", halfWritten)
		return nil
	case members.Kind != yaml.SequenceNode:
		p.wrongf(members, "members must be a list: lines that begin with -")
		return nil
	}
	list := make(List, 0, len(members.Content))
	for _, n := range members.Content {
		list = append(list, p.member(n))
	}
	p.judge(list)
	return list
}

// judge adds what is wrong with the values, where nothing was said of them yet.
func (p *parser) judge(list List) {
	list.check(func(i int, key, text string) {
		switch {
		case i < 0:
			p.wrongf(&yaml.Node{Line: 1, Column: 1}, "%s", text)
		case p.items[i].keys[key] != nil:
			p.wrongf(p.items[i].keys[key], "%s: %s", key, text)
		}
	}, func(i int) string { return fmt.Sprintf("line %d", p.items[i].node.Line) })
}

// member reads one item. A key with a problem is not kept, so that its value is not judged.
func (p *parser) member(n *yaml.Node) Member {
	m := Member{Number: -1} // which is no other member's
	it := item{node: n}
	defer func() { p.items = append(p.items, it) }()
	if n.Kind != yaml.MappingNode {
		p.wrongf(n, "is not a member: it has the keys node, number and address")
		return m
	}
	it.keys = p.mapping(n, "node", "number", "address")
	for _, key := range []string{"node", "number", "address"} {
		value := it.keys[key]
		if value == nil {
			p.wrongf(n, "%s is missing", key)
			continue
		}
		var err error
		switch {
		case isNull(value):
			err = fmt.Errorf("has no value: %s", halfWritten)
		case value.Kind != yaml.ScalarNode:
			err = errors.New("must be a single value")
		case key == "node":
			m.Node = value.Value
		case key == "address":
			m.Address = value.Value
		default:
			if m.Number, err = strconv.Atoi(value.Value); err != nil {
				m.Number, err = -1, fmt.Errorf("is %q, must be a whole number from 0 to %d", value.Value, MaxNumber)
			}
		}
		if err != nil {
			p.wrongf(value, "%s: %v", key, err)
			delete(it.keys, key)
		}
	}
	return m
}

// mapping returns the values of the known keys.
func (p *parser) mapping(n *yaml.Node, known ...string) map[string]*yaml.Node {
	values, first := make(map[string]*yaml.Node), make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch line, again := first[key.Value]; {
		case again:
			p.wrongf(key, "%s stands twice: first in line %d", key.Value, line)
			continue
		case !slices.Contains(known, key.Value):
			p.wrongf(key, "%q is not a key; %s", key.Value, suggest(key.Value, known))
			continue
		case value.Kind == yaml.AliasNode:
			p.wrongf(value, "%s: is an alias: write the value out", key.Value)
			continue
		}
		first[key.Value] = key.Line
		values[key.Value] = value
	}
	return values
}

// suggest names the key that was meant, or all of them.
func suggest(name string, known []string) string {
	for _, k := range known {
		if distance(strings.ToLower(name), k) <= max(1, len(k)/3) || len(name) > 2 && strings.HasPrefix(k, name) {
			return k + " is"
		}
	}
	return "the keys here are: " + strings.Join(known, ", ")
}

// distance is the number of letters to add, remove or replace (Levenshtein).
func distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		diagonal := last[0]
		last[0]++
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = last[j+1]
			last[j+1] = min(cost, last[j]+1, last[j+1]+1)
		}
	}
	return last[len(b)]
}
