package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
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
