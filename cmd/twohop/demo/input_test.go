package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// notes collects what is reported.
type notes []string

func (n *notes) addf(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

func pass(t *testing.T, in *input) (ids []string) {
	t.Helper()
	for {
		g, err := in.next()
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, g.ID)
	}
}

func one(id string) string { return `{"gift_id":"` + id + `","user":"u","room":"r","amount":5}` }

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInputSkipsBadLinesAndReportsThemOnce(t *testing.T) {
	text := "\xef\xbb\xbf" + one("a") + "\r\n\n" + "hello\n" + one("b") + "\n" + strings.Repeat("x", 3*maxLine) + "\n" + one("c")
	var said notes
	in, err := openInput(file(t, text), nil, said.addf)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	for range 2 {
		if got := strings.Join(pass(t, in), ""); got != "abc" {
			t.Fatalf("got gifts %q, want abc", got)
		}
		if err := in.rewind(); err != nil {
			t.Fatal(err)
		}
	}
	if in.bad.Load() != 2 || in.good != 6 {
		t.Errorf("counted %d bad lines and %d gifts, want 2 and 6", in.bad.Load(), in.good)
	}
	if len(said) != 2 || !strings.Contains(said[0], "line 3 is skipped: it is not one JSON object, such as") ||
		!strings.Contains(said[1], "line 5 is skipped: it is longer than 4096 bytes") {
		t.Errorf("reported %q", said)
	}
}

func TestInputReportsOnlyTheFirstBadLines(t *testing.T) {
	var said notes
	in, err := openInput("-", strings.NewReader(strings.Repeat("x\n", 100)+one("a")), said.addf)
	if err != nil {
		t.Fatal(err)
	}
	pass(t, in)
	if in.bad.Load() != 100 || len(said) != maxReported+1 || !strings.Contains(said[maxReported], "counted only") {
		t.Errorf("counted %d and reported %d: %q", in.bad.Load(), len(said), said[len(said)-1])
	}
}

func TestInputFailsBeforeAnythingStarts(t *testing.T) {
	for _, c := range []struct{ name, stdin, want string }{
		{filepath.Join(t.TempDir(), "none"), "", "no such file"},
		{t.TempDir(), "", "is a directory"},
		{file(t, ""), "", "is empty; it must have a gift a line, such as {"},
		{file(t, "\n\n"), "", "is empty"},
		{"-", "", "stdin is empty"},
		{"-", "x\ny\n", "stdin has no gift, and 2 lines that are none"},
	} {
		var said notes
		if _, err := openInput(c.name, strings.NewReader(c.stdin), said.addf); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestInputWithoutANameIsTheSampleEverywhere(t *testing.T) {
	var said notes
	here, err := openInput("", nil, said.addf)
	if err != nil {
		t.Fatal(err)
	}
	defer here.close()
	if !strings.HasSuffix(here.name, "gifts.jsonl") {
		t.Errorf("in the repository gifts come from %s", here.name)
	}
	t.Chdir(t.TempDir())
	made, err := openInput("", nil, said.addf)
	if err != nil {
		t.Fatal(err)
	}
	if made.name != "the generator" {
		t.Errorf("elsewhere gifts come from %s", made.name)
	}
	a, b := pass(t, here), pass(t, made)
	if len(a) != giftCount || strings.Join(a, " ") != strings.Join(b, " ") {
		t.Errorf("the file has %d gifts, the generator makes %d others", len(a), len(b))
	}
}
