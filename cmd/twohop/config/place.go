package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// source is where a value was written, in the order in which they are laid over each other.
type source uint8

const (
	byDefault source = iota
	inFile
	inEnvironment
	inFlag
)

// Place is where a value was written. The zero value is the default.
type Place struct {
	source source
	name   string // of the file, the variable or the flag
	line   int
	column int
	via    string // what the file's value refers to
}

// String returns default, file:line, the variable's name or the flag's.
func (p Place) String() string {
	switch p.source {
	case inFile:
		text := fmt.Sprintf("%s:%d", p.name, p.line)
		if p.via != "" {
			text = p.via + ", " + text
		}
		return text
	case inEnvironment:
		return p.name
	case inFlag:
		return "--" + p.name
	default:
		return "default"
	}
}

// exact is String with the column.
func (p Place) exact() string {
	if p.source == inFile && p.line > 0 {
		return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.column)
	}
	if p.source == inFile {
		return p.name
	}
	return p.String()
}

// Problem is one thing that is wrong.
type Problem struct {
	Place Place
	Key   string // may be empty
	Text  string
}

func (p Problem) String() string {
	if p.Key == "" {
		return p.Place.exact() + ": " + p.Text
	}
	return p.Place.exact() + ": " + p.Key + ": " + p.Text
}

// Problems is the error of Load: everything that is wrong, a line each.
type Problems []Problem //nolint:errname // the list, and an error only because Load returns it

func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, problem := range p {
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems in the order in which somebody would look for them, or nil.
func (p Problems) sorted() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank(a.Place.source), rank(b.Place.source)),
			cmp.Compare(a.Place.line, b.Place.line),
			cmp.Compare(a.Place.column, b.Place.column),
			cmp.Compare(a.Place.name, b.Place.name),
		)
	})
	return p
}

// rank puts what was not written anywhere last.
func rank(s source) int { return (int(s) + 3) % 4 }
