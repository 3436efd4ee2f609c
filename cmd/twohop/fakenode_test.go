package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
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
	answers map[string]string // by path, after the method if that is not GET; may begin with a status, as "404 {}"
	asked   []question        // in this order
	puts    []string
	match   string // If-Match of the last PUT
	force   string // and its parameter
}

// question is what a node was asked.
type question struct {
	path  string // as the key of answers
	query url.Values
	kind  string // Content-Type
	match string // If-Match
	body  string
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
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	q := question{path: r.URL.Path, query: r.URL.Query(), kind: r.Header.Get("Content-Type"), match: r.Header.Get("If-Match"), body: string(body)}
	if r.Method != http.MethodGet {
		q.path = r.Method + " " + q.path
	}
	if r.Method == http.MethodPut {
		if q.kind != "application/json" {
			f.t.Errorf("PUT of %q", q.kind)
		}
		f.puts, f.match, f.force = append(f.puts, string(body)), q.match, r.URL.Query().Get("force")
	}
	f.asked = append(f.asked, q)
	text, ok := f.answers[q.path]
	if strings.Contains(q.body, `"dry_run":true`) {
		if dry, is := f.answers["dry "+q.path]; is {
			text, ok = dry, true
		}
	}
	if !ok {
		w.WriteHeader(http.StatusPreconditionFailed)
		text = `{"error": "look at it again"}`
	}
	if status, rest, is := strings.Cut(text, " {"); is {
		if n, err := strconv.Atoi(status); err == nil {
			w.WriteHeader(n)
			text = "{" + rest
		}
	}
	_, _ = io.WriteString(w, text) // who asked has gone
}

// questions returns what was asked for at a path.
func (f *fakeNode) questions(path string) (all []question) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range f.asked {
		if q.path == path {
			all = append(all, q)
		}
	}
	return all
}

// runAt runs a command at a terminal at which somebody has typed something.
func (f *fakeNode) runAt(typed string, args ...string) (code int, out, errs string) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append(args, "--admin", f.address), terminal(f.t, typed), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// run runs a command against the node.
func (f *fakeNode) run(stdin string, args ...string) (code int, out, errs string) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append(args, "--admin", f.address), strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// completes returns what a shell offers for a command line that ends with args.
func (f *fakeNode) completes(args ...string) string {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	run(append([]string{"__complete"}, args...), strings.NewReader(""), &stdout, &stderr)
	return stdout.String()
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
