package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxName = 127 // bytes, as on the wire

// checkName returns what is wrong with a name, or "".
func checkName(name string) string {
	if name == "" || len(name) > maxName {
		return fmt.Sprintf("has %d bytes, must have 1 to %d", len(name), maxName)
	}
	for _, c := range []byte(name) {
		if !nameByte(c) {
			return fmt.Sprintf("is %s, may hold A-Z a-z 0-9 _ : . - only", quoted(name))
		}
	}
	return ""
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == ':' || c == '.' || c == '-'
}

// quoted shows a value to people: in quotes, at most 40 characters of it.
func quoted(s string) string {
	const most = 40
	n := 0
	for i := range s {
		if n++; n > most {
			return fmt.Sprintf("%q…", s[:i])
		}
	}
	if !utf8.ValidString(s) {
		return "not UTF-8"
	}
	return fmt.Sprintf("%q", s)
}

// nearest returns the candidate that name was most likely meant to be, or "".
func nearest(name string, candidates []string) string {
	if len(name) > maxName {
		return ""
	}
	best, least := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if c == name || len(c)-len(name) > len(name) && !strings.HasPrefix(c, name) {
			continue
		}
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if len(name) > 2 && strings.HasPrefix(c, name) {
			d = min(d, 2)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to add, remove, replace or swap (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
