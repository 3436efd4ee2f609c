package adminclient

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func answering(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	c, err := New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	const total = 7
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		var offset int
		if _, err := fmt.Sscan(r.FormValue("offset"), &offset); err != nil {
			t.Error(err)
		}
		var rows []string
		for i := offset; i < min(offset+3, total); i++ {
			rows = append(rows, fmt.Sprintf(`{"session": "%d"}`, 1<<62+i))
		}
		fmt.Fprintf(w, `{"total": %d, "sessions": [%s]}`, total, strings.Join(rows, ","))
	})
	got, err := c.Sessions(t.Context())
	if err != nil || len(got) != total {
		t.Fatalf("got %d of %d: %v", len(got), total, err)
	}
	for i, s := range got {
		if s.Session != uint64(1<<62+i) {
			t.Errorf("row %d is %d", i, s.Session)
		}
	}
}

// TestAListThatShrinksEnds: a page may come back empty although more was promised.
func TestAListThatShrinksEnds(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"total": 5, "modules": []}`) })
	if got, err := c.Registry(t.Context()); err != nil || got == nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestErrorsSayWhatWouldBeRight(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusMisdirectedRequest)
			fmt.Fprint(w, `{"error": "use http://127.0.0.1:1"}`)
		}, "refuses /v1/info: use http://127.0.0.1:1"},
		{"another server", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "answers 404 Not Found: is it the admin address of a node?"},
		{"a path", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error": "there is none: GET /v1/rules/history lists them"}`)
		}, "there is none: `twohop rules history` lists them"},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "does not speak HTTP (EOF): it is no operators' listener"},
		{"other words", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write([]byte("twohop/1\r\n")) // who asked has gone
			_ = c.Close()
		}, "does not speak HTTP"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "does not answer as a node does"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "it is no node of twohop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := answering(t, test.handle).Info(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	for _, address := range []string{"", "host", "host:", ":7071", "http://", "a b"} {
		if _, err := New(address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

// TestWhoIsNotHeardOnceIsNamed: what a node serves is missing on the page for which it was not heard.
func TestWhoIsNotHeardOnceIsNamed(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("scope") != "mesh" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, map[string]string{
			"0": `{"total":3,"nodes":[{"node":"a"},{"node":"b"},{"node":"c","error":"first"}],"modules":[{"module":"x"}]}`,
			"1": `{"total":3,"nodes":[{"node":"a"},{"node":"b","error":"late"},{"node":"c","error":"second"}],"modules":[{"module":"y"}]}`,
			"2": `{"total":3,"nodes":[{"node":"a"},{"node":"b"},{"node":"d"}],"modules":[{"module":"z"}]}`,
		}[r.FormValue("offset")])
	})
	modules, nodes, err := c.MeshRegistry(t.Context())
	if err != nil || len(modules) != 3 {
		t.Errorf("%d modules, %v", len(modules), err)
	}
	if want := []Heard{{Node: "a"}, {Node: "b", Error: "late"}, {Node: "c", Error: "first"}, {Node: "d"}}; !slices.Equal(nodes, want) {
		t.Errorf("got %v, want %v", nodes, want)
	}
}
