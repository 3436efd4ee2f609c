package rules

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Insert returns the text with the rule: in the place of the one that has its id, or else below the others. A text that is empty
// becomes a document. What else is in the text stays as it was, but a text that has its rules in braces (JSON) is written anew, in
// lines. Line of the rule counts for nothing. The error is *Invalid if the text, or what would become of it, is no document.
func Insert(text []byte, r Rule) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("format: 1\nrules: []\n")
	}
	d, o, err := parseLines(&text)
	if err != nil {
		return nil, err
	}
	indent := 2
	if len(o.items) > 0 {
		indent = o.indent
	}
	written, err := r.lines(indent)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(d.Rules, func(other Rule) bool { return other.ID == r.ID })
	var edited []byte
	switch {
	case i >= 0:
		edited = splice(text, o.items[i].first, o.items[i].last, written)
	case len(o.items) > 0:
		last := o.items[len(o.items)-1].last
		edited = splice(text, last, last, afterLine(text[:last], written))
	default:
		at := noRules.FindSubmatchIndex(text)
		behind := at[1]
		if behind < len(text) {
			behind++ // the line feed
		}
		line := slices.Concat(text[at[2]:at[3]], text[at[4]:at[5]], []byte("\n"), written)
		edited = splice(text, at[0], behind, line)
	}
	if _, err := Parse(edited); err != nil {
		return nil, err
	}
	return edited, nil
}

// Remove returns the text without the rules of these ids, and without the comments right above them. An id that no rule has is an
// error, and nothing is removed. What else is in the text stays as it was, as with Insert.
func Remove(text []byte, ids ...string) ([]byte, error) {
	d, o, err := parseLines(&text)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if slices.ContainsFunc(d.Rules, func(r Rule) bool { return r.ID == id }) {
			continue
		}
		var known []string
		for _, r := range d.Rules {
			known = append(known, r.ID)
		}
		if meant := nearest(id, known); meant != "" {
			return nil, fmt.Errorf("rules: there is no rule %s; did you mean %s?", quoted(id), meant)
		}
		return nil, fmt.Errorf("rules: there is no rule %s", quoted(id))
	}
	return remove(text, d, o, func(r *Rule) bool { return slices.Contains(ids, r.ID) })
}

// PruneEnded is Remove for the rules that have ended at a time, whose ids it returns.
func PruneEnded(text []byte, now time.Time) ([]byte, []string, error) {
	d, o, err := parseLines(&text)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	edited, err := remove(text, d, o, func(r *Rule) bool {
		if r.ended(now) {
			ids = append(ids, r.ID)
			return true
		}
		return false
	})
	return edited, ids, err
}

// afterLine puts a line feed in front of what follows a line that has none.
func afterLine(text, written []byte) []byte {
	if bytes.HasSuffix(text, []byte("\n")) {
		return written
	}
	return append([]byte("\n"), written...)
}

func splice(text []byte, from, to int, with []byte) []byte {
	return slices.Concat(text[:from], with, text[to:])
}

func remove(text []byte, d *Document, o outline, which func(r *Rule) bool) ([]byte, error) {
	var edited []byte
	kept, left := 0, 0
	for i, item := range o.items {
		if !which(&d.Rules[i]) {
			left++
			continue
		}
		edited = append(edited, text[kept:item.start]...)
		kept = item.last
		if endsBlank(edited) { // else two blank lines would meet
			if rest := blankLine.FindIndex(text[kept:]); rest != nil {
				kept += rest[1]
			}
		}
	}
	edited = append(edited, text[kept:]...)
	if left == 0 && len(o.items) > 0 {
		edited = withoutRules.ReplaceAll(edited, []byte("$1 []$2"))
	}
	_, err := Parse(edited)
	if err != nil {
		return nil, err
	}
	return edited, nil
}

// endsBlank reports whether the last line is there and blank.
func endsBlank(text []byte) bool {
	text, ended := bytes.CutSuffix(text, []byte("\n"))
	return ended && bytes.HasSuffix(bytes.TrimRight(text, " \t\r"), []byte("\n"))
}

var (
	blankLine = regexp.MustCompile(`^[ \t]*\r?\n`)
	// withoutRules and noRules are the line above the rules when there are none any more, and when there are none yet.
	withoutRules = regexp.MustCompile(`(?m)^((?:rules|"rules"|'rules')[ \t]*:)([ \t]*(?:#.*)?\r?)$`)
	noRules      = regexp.MustCompile(`(?m)^((?:rules|"rules"|'rules')[ \t]*:)[ \t]*\[[ \t]*\]([ \t]*(?:#.*)?\r?)$`)
)

// parseLines parses a text; one that does not have its rules on lines of their own it rewrites so that it has.
func parseLines(text *[]byte) (*Document, outline, error) {
	d, o, err := parse(*text)
	if err != nil || len(o.items) > 0 {
		return d, o, err
	}
	if len(d.Rules) == 0 && noRules.Match(*text) {
		return d, o, nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal(*text, &root); err != nil {
		return nil, o, fmt.Errorf("rules: %w", err)
	}
	n := root.Content[0]
	n.Style = 0
	for _, part := range n.Content { // its keys, and the list: the rules stay in braces
		part.Style = 0
	}
	if len(d.Rules) == 0 {
		*text = []byte("format: 1\nrules: []\n")
		return parse(*text)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, o, fmt.Errorf("rules: %w", err)
	}
	*text = b.Bytes()
	return parse(*text)
}
