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
