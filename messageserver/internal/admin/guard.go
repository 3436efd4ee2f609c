package admin

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// hostsOf returns the names of a loopback listener.
func hostsOf(addr *net.TCPAddr) map[string]bool {
	hosts := make(map[string]bool)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", addr.IP.String()} {
		hosts[net.JoinHostPort(name, strconv.Itoa(addr.Port))] = true
	}
	return hosts
}

// guard lets only requests pass that name this listener, are not another site's, and have a method that the path takes.
func (s *Server) guard(next *http.ServeMux, allow map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		_, pattern := next.Handler(r)
		allowed := cmp.Or(allow[pattern], "GET, HEAD")
		origin := r.Header.Get("Origin")
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case !s.hosts[r.Host]:
			refuse(w, http.StatusMisdirectedRequest, "the Host header is not a name of this listener: use http://"+s.Addr())
		case site != "" && site != "none" && site != "same-origin":
			refuse(w, http.StatusForbidden, "a page of another site asked: open the address itself")
		case origin != "" && origin != "http://"+r.Host:
			refuse(w, http.StatusForbidden, "a page of another site asked: open the address itself")
		case !slices.Contains(strings.Split(allowed, ", "), r.Method):
			h.Set("Allow", allowed)
			refuse(w, http.StatusMethodNotAllowed, "only "+allowed+" are answered at "+r.URL.Path)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
