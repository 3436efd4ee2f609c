package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// scribe is a log whose lines and time a test has in its hand.
type scribe struct {
	*Log
	text bytes.Buffer
	time time.Duration
}

func newScribe() *scribe {
	s := &scribe{}
	s.Log = New(slog.New(slog.NewTextHandler(&s.text, nil)), func() time.Duration { return s.time })
	return s
}

func (s *scribe) lines() int { return strings.Count(s.text.String(), "\n") }

func TestOneLineOfACausePerSecond(t *testing.T) {
	s := newScribe()
	for range 10 {
		s.Event("refused", "secret", errors.New("wrong secret"), "remote", "1.2.3.4")
		s.Event("refused", "silence", nil)
	}
	if s.lines() != 2 {
		t.Fatalf("%d lines of two causes in one moment:\n%s", s.lines(), s.text.String())
	}
	if s.Event("refused", "silence", nil) || !s.Event("refused", "noise", nil) || s.lines() != 3 {
		t.Errorf("who asks whether a line was written is told wrong:\n%s", s.text.String())
	}
	s.time += time.Second
	s.Event("refused", "secret", nil)
	if last := s.text.String(); s.lines() != 4 || !strings.Contains(last, "held_back=9") {
		t.Errorf("a second later: %s", last)
	}
	s.time += time.Second
	s.Event("refused", "secret", nil)
	if strings.Count(s.text.String(), "held_back") != 1 {
		t.Errorf("nothing was held back in the last second: %s", s.text.String())
	}
}

func TestCausesAreBounded(t *testing.T) {
	s := newScribe()
	for i := range 10 * maxCauses {
		s.Event("refused", fmt.Sprint(i), nil)
	}
	if s.lines() != maxCauses+1 || len(s.causes) != maxCauses+1 {
		t.Fatalf("%d lines, %d causes remembered, want %d", s.lines(), len(s.causes), maxCauses+1)
	}
	s.time += time.Second
	s.Event("refused", "new", nil)
	if len(s.causes) != 1 || s.lines() != maxCauses+2 {
		t.Errorf("%d causes remembered after a quiet second, %d lines", len(s.causes), s.lines())
	}
}
