package rules

import (
	"bytes"
	"fmt"
	"regexp"
)

const (
	maxText  = 10 << 20  // bytes of a document
	maxRules = 20_000    // of a document
	maxPiece = 512 << 10 // bytes of a piece
	maxMarks = 50_000    // marks of a piece
	maxAll   = 1_000_000 // marks of a document
)

// marks are the bytes without which YAML has no further value: they bound what parsing costs before it is begun.
const marks = ",[{:-?#\n"

var isMark = func() (t [256]bool) {
	for _, b := range []byte(marks) {
		t[b] = true
	}
	return t
}()

// piece is a part of a text that is parsed by itself: one rule, or what stands around the rules.
type piece struct {
	line  int // of the first byte, 1 the first of the text
	start int // the comments right above a rule belong to it
	first int // where its first line with content begins
	last  int // where its last line with content ends; after it are blank lines and comments
	end   int
}

// outline is a text taken apart: what is above the rules, each of them, and what is below them. A text that does not have its
// rules on lines that begin with "-", below a line "rules:" (it may be JSON), is all head.
type outline struct {
	head, tail piece
	items      []piece
	indent     int // of the "-" of each rule
}

// rulesLine is the line above the rules, in front of its comment.
var rulesLine = regexp.MustCompile(`^(rules|"rules"|'rules')[ \t]*:[ \t]*(?:#.*)?$`)

// outliner takes a text apart by its lines. It does not judge it: where a piece is not YAML by itself, the text is none either,
// and parsing says so.
type outliner struct {
	outline
	state   outlineState
	current *piece
	content bool // there was some
	// The block of comments right above the next line; none if start is negative.
	lead       piece
	leadIndent int
}

type outlineState uint8

const (
	aboveRules outlineState = iota
	behindKey               // the last line was "rules:"
	otherwise               // the rules are not on lines of their own
	inRules
	belowRules
)

func outlineOf(text []byte) (outline, []Problem) {
	o := outliner{}
	o.lead.start = -1
	o.head.line, o.current = 1, &o.head
	for start, line := 0, 1; start < len(text); line++ {
		end := len(text)
		if i := bytes.IndexByte(text[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		if p := o.add(piece{line: line, start: start, first: start, last: end, end: end}, text[start:end]); p != nil {
			return o.outline, []Problem{*p}
		}
		start = end
	}
	o.current.end = len(text)
	return o.outline, o.bounds(text)
}

// add takes one line.
func (o *outliner) add(p piece, text []byte) *Problem {
	text = bytes.TrimRight(text, "\r\n")
	content := bytes.TrimLeft(text, " ")
	indent := len(text) - len(content)
	switch {
	case len(bytes.TrimSpace(content)) == 0:
		o.lead.start = -1
		return nil
	case content[0] == '#':
		if o.lead.start < 0 || o.leadIndent != indent {
			o.lead, o.leadIndent = p, indent
		}
		return nil
	}
	if o.lead.start >= 0 && o.leadIndent == indent {
		p.line, p.start = o.lead.line, o.lead.start
	}
	o.lead.start = -1
	if content[0] == '\t' { // whatever it is: it begins nothing
		o.current.last = p.last
		return nil
	}
	isItem := content[0] == '-' && (len(content) == 1 || content[1] == ' ' || content[1] == '\t')
	switch {
	case indent == 0 && o.content && (separates(text, "---") || separates(text, "...")):
		return &Problem{p.line, 1, fmt.Sprintf("%q begins or ends a document: the rules are one document", text[:3])}
	case o.state == aboveRules && rulesLine.Match(text):
		o.state = behindKey
	case o.state == behindKey && isItem:
		o.state, o.indent = inRules, indent
		o.begin(p)
	case o.state == behindKey:
		o.state = otherwise
	case o.state == inRules && isItem && indent == o.indent:
		if len(o.items) == maxRules {
			return &Problem{p.line, 1, fmt.Sprintf("there are more than %d rules", maxRules)}
		}
		o.begin(p)
	case o.state == inRules && (indent < o.indent || indent == 0):
		o.state = belowRules
		o.begin(p)
	}
	o.content = o.content || text[0] != '%' && !separates(text, "---")
	o.current.last = p.last
	return nil
}

// begin ends the piece before p.
func (o *outliner) begin(p piece) {
	o.current.end = p.start
	if o.state == inRules {
		o.items = append(o.items, p)
		o.current = &o.items[len(o.items)-1]
	} else {
		o.tail = p
		o.current = &o.tail
	}
}

func separates(line []byte, marker string) bool {
	return bytes.HasPrefix(line, []byte(marker)) && (len(line) == 3 || line[3] == ' ' || line[3] == '\t')
}

// bounds names every piece that is too large to be parsed.
func (o *outline) bounds(text []byte) (problems []Problem) {
	all := 0
	for i := -1; i <= len(o.items); i++ {
		p, what := &o.head, "what is above the rules (write each rule on lines of its own, that begin with - )"
		switch {
		case i == len(o.items):
			p, what = &o.tail, "what is below the rules"
		case i >= 0:
			p, what = &o.items[i], "the rule"
		}
		n := 0
		for _, b := range text[p.start:p.end] {
			if isMark[b] {
				n++
			}
		}
		all += n
		if p.end-p.start > maxPiece {
			problems = append(problems, Problem{p.line, 1, fmt.Sprintf("%s has %d bytes, must have at most %d", what, p.end-p.start, maxPiece)})
		} else if n > maxMarks {
			problems = append(problems, Problem{p.line, 1, fmt.Sprintf("%s has %d of the characters , [ { : - ? # and line ends, must have at most %d", what, n, maxMarks)})
		}
	}
	if all > maxAll {
		problems = append(problems, Problem{1, 1, fmt.Sprintf("the document has %d of the characters , [ { : - ? # and line ends, must have at most %d", all, maxAll)})
	}
	return problems
}
