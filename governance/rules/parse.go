package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	format    = 1
	maxNote   = 4 << 10 // bytes
	beginning = "a document begins with format: 1, and below it rules:"
)

// Parse reads a document. It is strict: every key that is not known and every value that is out of bounds is a problem. The error is
// *Invalid and has all of them, at most 200; the document is nil then.
func Parse(text []byte) (*Document, error) {
	d, _, err := parse(text)
	return d, err
}

// parse returns, beside the document, where its rules are in the text.
func parse(text []byte) (*Document, outline, error) {
	switch {
	case len(text) > maxText:
		return nil, outline{}, invalid([]Problem{{1, 1, fmt.Sprintf("the document has %d bytes, must have at most %d", len(text), maxText)}})
	case !utf8.Valid(text):
		return nil, outline{}, invalid([]Problem{notUTF8(text)})
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, outline{}, invalid([]Problem{{1, 1, "the document is empty: " + beginning}})
	}
	o, problems := outlineOf(text)
	if len(problems) > 0 {
		return nil, o, invalid(problems)
	}
	p := parser{text: text, outline: o, ids: make(map[string]int, len(o.items)), settings: make(map[setting]*Rule)}
	d := p.document()
	if len(p.problems) == 0 {
		p.problems = d.beyondServers()
	}
	if len(p.problems) > 0 {
		return nil, o, invalid(p.problems)
	}
	return d, o, nil
}

func notUTF8(text []byte) Problem {
	p := Problem{Line: 1, Column: 1, Message: "the document is not UTF-8"}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			break
		}
		if p.Column++; r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
		text = text[size:]
	}
	return p
}

// parser reads the pieces of one text, and what they have in common.
type parser struct {
	reader
	text []byte
	outline
	ids      map[string]int // lines
	settings map[setting]*Rule
}

// setting is what only one rule of a document may be.
type setting struct {
	Scope
	kind Kind
}

func (p *parser) document() *Document {
	d := &Document{Rules: make([]Rule, 0, len(p.items))}
	format, rules := p.root(p.head, d)
	tailFormat, tailRules := p.root(p.tail, d)
	begin := &yaml.Node{Line: 1, Column: 1}
	switch {
	case format && tailFormat:
		p.lines = 0
		p.wrongf(&yaml.Node{Line: p.tail.line, Column: 1}, "format stands twice")
	case !format && !tailFormat && len(p.problems) == 0:
		p.lines = 0
		p.wrongf(begin, "format is missing: %s", beginning)
	}
	switch {
	case rules && tailRules:
		p.lines = 0
		p.wrongf(&yaml.Node{Line: p.tail.line, Column: 1}, "rules stands twice")
	case !rules && !tailRules && len(p.problems) == 0:
		p.lines = 0
		p.wrongf(begin, "rules is missing: %s", beginning)
	}
	for _, item := range p.items {
		if p.full() {
			break
		}
		n := p.decode(item)
		if n == nil {
			continue
		}
		if n.Kind != yaml.SequenceNode || len(n.Content) != 1 {
			p.wrongf(n, "is not one rule: a rule begins with - in the column of the first one's, and lines end with a line feed")
			continue
		}
		p.rule(n.Content[0], d)
	}
	return d
}

// root reads what stands around the rules, and reports which of its keys are there.
func (p *parser) root(at piece, d *Document) (format, rules bool) {
	if at.start == at.end {
		return false, false
	}
	n := p.decode(at)
	if n == nil {
		return false, false
	}
	if n.Kind != yaml.MappingNode {
		p.wrongf(n, "is not a document of rules: %s", beginning)
		return false, false
	}
	f := p.mapping(n, "the document", "", "format", "rules")
	if s, ok := f.text("format"); ok && s != "1" {
		f.keyWrongf("format", "is %s, must be 1", quoted(s))
	}
	switch list := f.values["rules"]; {
	case list == nil:
	case isNull(list) && len(p.items) > 0:
	case isNull(list):
		f.keyWrongf("rules", "is empty: write rules: [] if there are to be none")
	case list.Kind != yaml.SequenceNode:
		f.keyWrongf("rules", "must be a list: a rule begins with -")
	case len(list.Content) > maxRules:
		f.keyWrongf("rules", "there are more than %d rules", maxRules)
	default:
		for _, n := range list.Content {
			p.rule(n, d)
		}
	}
	return f.has("format"), f.has("rules")
}

// decode parses a piece and returns its value, nil if it has none or is none that can be read.
func (p *parser) decode(at piece) *yaml.Node {
	p.lines = at.line - 1
	text := p.text[at.start:at.end]
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var n, second yaml.Node
	err := decoder.Decode(&n)
	if err == nil {
		err = decoder.Decode(&second)
		if err == nil {
			p.wrongf(&second, "a second document begins: the rules are one document")
			return nil
		}
	}
	switch {
	case errors.Is(err, io.EOF) && len(n.Content) == 0:
		if at.line == 1 {
			p.wrongf(&yaml.Node{Line: 1, Column: 1}, "the document is empty: %s", beginning)
		}
		return nil
	case !errors.Is(err, io.EOF):
		p.syntax(text, err)
		return nil
	}
	if !p.plain(n.Content[0]) {
		return nil
	}
	return n.Content[0]
}

// syntaxError is how the YAML parser names a line, and what it says after it.
var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax says what the YAML parser says. What it repeats of the text may be a secret.
func (p *parser) syntax(text []byte, err error) {
	message := syntaxError.ReplaceAllString(err.Error(), "")
	line := 1
	if parts := syntaxError.FindStringSubmatch(err.Error()); parts != nil && parts[1] != "" {
		line, _ = strconv.Atoi(parts[1])
		if strings.HasPrefix(message, "did not find expected") {
			line++ // counted from 0, unlike the others
		}
	}
	lines := bytes.Split(bytes.TrimRight(text, " \t\r\n"), []byte("\n"))
	line = min(line, len(lines)) // what ends too early is found behind its end
	content := lines[line-1]
	column := len(content) - len(bytes.TrimLeft(content, " \t")) + 1
	switch name, alias := strings.CutPrefix(message, "unknown anchor '"); {
	case alias:
		at := max(bytes.Index(text, []byte("*"+strings.TrimSuffix(name, "' referenced"))), 0)
		line = 1 + bytes.Count(text[:at], []byte("\n"))
		column = at - bytes.LastIndexByte(text[:at], '\n')
		message = "an alias (*name): write the value out, or put it in quotes"
	case bytes.Contains(content, []byte("\t")):
		message = "not YAML: " + message + "; the line has a tab: indent with blanks"
	default:
		message = "not YAML: " + message
	}
	p.wrongf(&yaml.Node{Line: line, Column: column}, "%s", message)
}
