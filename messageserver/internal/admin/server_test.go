package admin

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestOnlyOwnNamesAreAnswered(t *testing.T) {
	n := start(t)
	_, port, _ := net.SplitHostPort(n.address)
	for _, test := range []struct {
		host   string
		status int
	}{
		{"127.0.0.1:" + port, http.StatusOK},
		{"localhost:" + port, http.StatusOK},
		{"[::1]:" + port, http.StatusOK},
		{"localhost", http.StatusMisdirectedRequest},
		{"127.0.0.1:1", http.StatusMisdirectedRequest},
		{"rebound.example:" + port, http.StatusMisdirectedRequest},
		{"127.0.0.1.example:" + port, http.StatusMisdirectedRequest},
		{"localhost:" + port + ".example", http.StatusMisdirectedRequest},
	} {
		for _, path := range []string{"/v1/info", "/metrics", "/nowhere", "/debug/pprof/"} {
			want := test.status
			if path == "/nowhere" && want == http.StatusOK {
				want = http.StatusNotFound
			}
			status, body, header := n.get(path, func(r *http.Request) { r.Host = test.host })
			if status != want {
				t.Errorf("%s of %s answers %d, want %d: %s", path, test.host, status, want, body)
			}
			if allowed := header.Get("Access-Control-Allow-Origin"); allowed != "" {
				t.Errorf("%s lets %s read", path, allowed)
			}
		}
	}
}

func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	n := start(t)
	for site, want := range map[string]int{
		"": http.StatusOK, "none": http.StatusOK, "same-origin": http.StatusOK,
		"same-site": http.StatusForbidden, "cross-site": http.StatusForbidden,
	} {
		status, body, _ := n.get("/debug/pprof/heap", func(r *http.Request) {
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
		})
		if status != want {
			t.Errorf("from %q: %d, want %d: %.100s", site, status, want, body)
		}
	}
}

func TestNothingIsChangedHere(t *testing.T) {
	n := start(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "ANY"} {
		status, _, header := n.get("/v1/info", func(r *http.Request) { r.Method = method })
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, allowed %q", method, status, header.Get("Allow"))
		}
	}
	if status, body, _ := n.get("/v1/info", func(r *http.Request) { r.Method = http.MethodHead }); status != http.StatusOK || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
}

func TestUnknownPathsListTheKnown(t *testing.T) {
	n := start(t)
	var got struct {
		Error string
		Paths []string
	}
	for _, path := range []string{"/", "/v1", "/v1/info/", "/favicon.ico"} {
		n.wantJSON(path, http.StatusNotFound, &got)
		if !strings.Contains(got.Error, path) || len(got.Paths) == 0 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	for _, path := range got.Paths {
		// What this node does not have is 503, and what only takes changes is 405.
		status, _, _ := n.get(path)
		if !slices.Contains([]int{http.StatusOK, http.StatusServiceUnavailable, http.StatusMethodNotAllowed}, status) {
			t.Errorf("%s is listed and answers %d", path, status)
		}
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	n := start(t)
	send := func(length int) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.address+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X", strings.Repeat("x", length))
		response, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := send(1 << 10); status != http.StatusOK || err != nil {
		t.Errorf("1 KiB: %d, %v", status, err)
	}
	// The connection is closed while we still write, which may hide the answer.
	if status, err := send(32 << 10); err == nil && status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("32 KiB: %d", status)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "127.0.0.1:70000", "nonsense"} {
		if s, err := New(listen, (&node{}).sources()); err == nil {
			s.Close()
			t.Errorf("%s was opened", listen)
		}
	}
}

func TestCloseInAnyOrder(t *testing.T) {
	n := &node{t: t}
	before, err := New("127.0.0.1:0", n.sources())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := before.Close(); err != nil {
			t.Errorf("closed before it served: %v", err)
		}
	}
	before.Serve() // returns

	during, err := New(before.Addr(), n.sources())
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	returned := make(chan struct{})
	go func() { during.Serve(); close(returned) }()
	c, err := net.Dial("tcp", during.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if err := during.Close(); err != nil {
			t.Errorf("closed while it served: %v", err)
		}
	}
	<-returned
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 1)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	if len(l.places) != cap(l.places) {
		t.Fatal("a connection is open, and its place is free")
	}
	dial()
	select {
	case <-accepted:
		t.Error("a second connection was accepted beside the first")
	default:
	}
	first.Close()
	first.Close() // gives its place back once
	second := <-accepted
	l.Close() // while Accept waits for a place
	if _, open := <-accepted; open {
		t.Error("a connection was accepted after the end")
	}
	second.Close()
	if len(l.places) != 0 {
		t.Errorf("%d places are taken after the end", len(l.places))
	}
}
