package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeNode answers on the admin address of no node, with what a test wants to see shown.
type fakeNode struct {
	t       *testing.T
	address string

	// Guarded by mu.
	mu      sync.Mutex
	answers map[string]string // by path
	puts    []string
	match   string // If-Match of the last PUT
	force   string // and its parameter
}

func newFakeNode(t *testing.T, answers map[string]string) *fakeNode {
	t.Helper()
	f := &fakeNode{t: t, answers: answers}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.address = strings.TrimPrefix(s.URL, "http://")
	return f
}

func (f *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.Path
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/json" {
			f.t.Errorf("PUT of %q: %v", r.Header.Get("Content-Type"), err)
		}
		f.puts, f.match, f.force = append(f.puts, string(body)), r.Header.Get("If-Match"), r.URL.Query().Get("force")
		path = "PUT " + path
	}
	text, ok := f.answers[path]
	if !ok {
		w.WriteHeader(http.StatusPreconditionFailed)
		text = `{"error": "look at it again"}`
	}
	_, _ = io.WriteString(w, text) // who asked has gone
}

// run runs a command against the node.
func (f *fakeNode) run(stdin string, args ...string) (code int, out, errs string) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append(args, "--admin", f.address), strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// wantLines checks that each line is there, whatever blanks align it.
func wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	all := "\n" + strings.Join(lines, "\n") + "\n"
	for _, w := range want {
		if !strings.Contains(all, "\n"+w+"\n") {
			t.Errorf("there is no line %q in\n%s", w, text)
		}
	}
}
