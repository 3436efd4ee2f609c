package audit

import (
	"context"
	"errors"
	"fmt"
)

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("audit: closed")

// BrokenError says where the chain is broken: this line, or the end of the one before, is not what was written.
type BrokenError struct {
	File string
	Line int // the first is 1; 0: the file's end
	Text string
}

// Error returns file:line: what is wrong.
func (e *BrokenError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// place is where a line stands.
type place struct {
	file string
	line int // 0 when read back
}

// Summary is what Verify has seen.
type Summary struct {
	Lines       int    `json:"lines"`
	First, Last uint64 // numbers; First > 1: what came before is not here any more
	Hash        string `json:"hash"` // of the last line
}

// Verify reads all lines and looks at the chain. A *BrokenError names the first line that does not follow the one before; the
// Summary is of the lines before it.
func (l *Log) Verify(ctx context.Context) (Summary, error) {
	goal := l.last()
	var s Summary
	var broken error
	var view View
	l.store.view(&view)
	at := place{file: view.Where}
	err := l.store.read(ctx, false, func(where place, text []byte) bool {
		if s.Last >= goal.seq && (s.Lines > 0 || goal.seq == 0) { // what is put meanwhile
			return false
		}
		one, err := parse(text)
		at = where
		switch {
		case err != nil:
			broken = &BrokenError{where.file, where.line, err.Error()}
		case s.Lines == 0 && (one.Seq == 1) != (one.Prev == ""):
			broken = &BrokenError{where.file, where.line, fmt.Sprintf("the first record has the number %d and names %q as the line before", one.Seq, one.Prev)}
		case s.Lines > 0 && one.Seq != s.Last+1:
			broken = &BrokenError{where.file, where.line, fmt.Sprintf("record %d follows record %d", one.Seq, s.Last)}
		case s.Lines > 0 && one.Prev != s.Hash:
			broken = &BrokenError{where.file, where.line, fmt.Sprintf("record %d was written after another record %d than the one before it", one.Seq, s.Last)}
		}
		if broken != nil {
			return false
		}
		if s.Lines == 0 {
			s.First = one.Seq
		}
		s.Lines++
		s.Last, s.Hash = one.Seq, hash(text)
		return true
	})
	switch {
	case err != nil:
		return s, err
	case broken != nil:
		return s, broken
	case s.Last != goal.seq || s.Hash != goal.hash:
		return s, &BrokenError{File: at.file, Text: fmt.Sprintf("the last record is %d with the hash %q, and %d with %q was written", s.Last, s.Hash, goal.seq, goal.hash)}
	}
	return s, nil
}
