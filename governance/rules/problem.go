package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a document, or, as a warning, looks so.
type Problem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// String returns "line 3, column 5: what is wrong".
func (p Problem) String() string {
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Message)
}

// Invalid is the error of a document that is not taken: all that is wrong with it, in the order of its text.
type Invalid struct { //nolint:errname // rules.Invalid says it; errors.As looks for it
	Problems []Problem `json:"problems"`
}

const (
	maxShown    = 20  // problems in a text
	maxProblems = 200 // kept in all: after them nobody reads on
)

// Error has a line for each problem, at most 20; the rest is counted.
func (e *Invalid) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), maxShown)] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// invalid returns the problems as an error, in order, nil without any.
func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	inOrder(problems)
	return &Invalid{Problems: problems}
}

func inOrder(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
