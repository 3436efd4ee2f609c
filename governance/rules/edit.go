package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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

// lines writes the rule as an item of a list that is indented so.
func (r *Rule) lines(indent int) ([]byte, error) {
	w := writer{margin: strings.Repeat(" ", indent) + "  "}
	w.key("id", r.ID)
	w.key("module", r.Module)
	w.key("method", r.Method)
	w.key("group", r.Group)
	w.key("caller", r.Caller)
	if !r.Until.IsZero() {
		w.line("until", r.Until.Format(time.RFC3339Nano))
	}
	if r.Shadow {
		w.line("shadow", "true")
	}
	w.key("note", r.Note)
	w.kind(r)
	if w.err != nil {
		return nil, w.err
	}
	w.text[indent] = '-'
	return w.text, nil
}

// writer writes the keys of one rule.
type writer struct {
	margin string
	text   []byte
	err    error
}

func (w *writer) line(key, value string) {
	w.text = append(w.text, w.margin+key+": "+value+"\n"...)
}

func (w *writer) key(key, value string) {
	if value != "" {
		w.line(key, w.scalar(value))
	}
}

// bare are words that YAML takes for themselves, without quotes.
var bare = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./+-]*$`)

// scalar writes a text so that YAML reads the same.
func (w *writer) scalar(s string) string {
	if bare.MatchString(s) {
		var n yaml.Node
		if yaml.Unmarshal([]byte(s), &n) == nil && len(n.Content) == 1 && n.Content[0].Tag == "!!str" {
			return s
		}
	}
	if !utf8.ValidString(s) {
		w.err = &Invalid{Problems: []Problem{{1, 1, "a value of the rule is not UTF-8"}}}
		return `""`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // every JSON string is a YAML one, but for characters that YAML wants escaped
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		w.err = err
	}
	var quoted strings.Builder
	for _, c := range strings.TrimSuffix(b.String(), "\n") {
		if 0x7f <= c && c < 0xa0 || c == 0xfeff || c == 0xfffe || c == 0xffff {
			fmt.Fprintf(&quoted, `\u%04x`, c)
		} else {
			quoted.WriteRune(c)
		}
	}
	return quoted.String()
}

// pairs writes keys and values in braces; values that are empty are left out.
func (w *writer) pairs(kind Kind, keysAndValues ...string) {
	var parts []string
	for pair := range slices.Chunk(keysAndValues, 2) {
		if value := pair[1]; value != "" {
			parts = append(parts, pair[0]+": "+value)
		}
	}
	w.line(string(kind), "{"+strings.Join(parts, ", ")+"}")
}

func (w *writer) optional(s string) string {
	if s == "" {
		return ""
	}
	return w.scalar(s)
}

func list[T any](items []T, write func(T) string) string {
	if len(items) == 0 {
		return ""
	}
	var parts []string
	for _, item := range items {
		parts = append(parts, write(item))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func number(v float64) string {
	if v == 0 {
		return ""
	}
	return decimal(v)
}

// kind writes what the rule does: all of it, if it is more than one thing, so that it is refused when it is parsed.
func (w *writer) kind(r *Rule) {
	prefix := func(p netip.Prefix) string { return w.scalar(p.String()) }
	if a := r.Addresses; a != nil {
		w.pairs(KindAddresses, "allow", list(a.Allow, prefix), "deny", list(a.Deny, prefix))
	}
	if c := r.Callers; c != nil {
		w.pairs(KindCallers, "allow", list(c.Allow, w.scalar), "deny", list(c.Deny, w.scalar))
	}
	if v := r.Visibility; v != nil {
		w.pairs(KindVisibility, "for", w.optional(v.For))
	}
	if p := r.Password; p != nil {
		w.pairs(KindPassword, "keys", list(p.Keys, func(k Key) string {
			return fmt.Sprintf("{key_id: %d, secret: %s}", k.ID, w.scalar(string(k.Secret)))
		}))
	}
	if o := r.Off; o != nil {
		w.pairs(KindOff, "share", number(o.Share), "fallback", w.optional(o.Fallback), "fallback_type", w.optional(o.FallbackType))
	}
	if l := r.Rate; l != nil {
		w.pairs(KindRate, "per_second", decimal(l.PerSecond), "burst", number(l.Burst), "per", w.optional(l.Per),
			"each", w.optional(l.Each), "over", w.optional(l.Over), "max_wait", span(l.MaxWait))
	}
	if c := r.Concurrency; c != nil {
		w.pairs(KindConcurrency, "max", strconv.Itoa(c.Max), "per", w.optional(c.Per), "each", w.optional(c.Each))
	}
	if l := r.Lift; l != nil {
		w.pairs(KindLift, "checks", list(l.Checks, func(k Kind) string { return w.scalar(string(k)) }))
	}
	if t := r.Timeout; t != nil {
		w.pairs(KindTimeout, "default", span(t.Default), "max", span(t.Max))
	}
	if t := r.Retry; t != nil {
		w.pairs(KindRetry, "max_attempts", strconv.Itoa(t.MaxAttempts))
	}
	if b := r.Balance; b != nil {
		w.pairs(KindBalance, "by", w.optional(b.By))
	}
	if l := r.Late; l != nil {
		w.pairs(KindLate, "do", w.optional(l.Do))
	}
}
