package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// This file says what net/http/pprof says, which would put itself into http.DefaultServeMux of every program that has a
// node in it, and would show the command line.

const maxProfileSeconds = 300

// profiles answers /debug/pprof/.
func (s *Server) profiles(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Profile string `json:"profile"`
		Count   int    `json:"count,omitempty"`
		About   string `json:"about,omitempty"`
	}
	list := []entry{
		{Profile: "profile", About: "where time is spent, over ?seconds=30"},
		{Profile: "trace", About: "execution trace, over ?seconds=1"},
	}
	for _, p := range pprof.Profiles() {
		list = append(list, entry{Profile: p.Name(), Count: p.Count()})
	}
	answer(w, http.StatusOK, struct {
		Use      string  `json:"use"`
		Profiles []entry `json:"profiles"`
	}{"go tool pprof http://" + s.Addr() + "/debug/pprof/NAME, or ?debug=1 to read it here", list})
}

// profile answers /debug/pprof/{name}.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "profile":
		record(w, r, 30, pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		record(w, r, 1, trace.Start, trace.Stop)
	default:
		p := pprof.Lookup(name)
		if p == nil {
			refuse(w, http.StatusNotFound, fmt.Sprintf("there is no profile %q: /debug/pprof/ lists them", name))
			return
		}
		debug, err := strconv.Atoi(r.FormValue("debug"))
		if err != nil || debug < 0 || debug > 2 {
			debug = 0
		}
		if name == "heap" && r.FormValue("gc") != "" {
			runtime.GC()
		}
		if debug > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		} else {
			attach(w, name)
		}
		_ = p.WriteTo(w, debug) // who asked has gone
	}
}

// record writes what is recorded while the seconds pass. The process has one recorder of each kind.
func record(w http.ResponseWriter, r *http.Request, byDefault int, start func(io.Writer) error, stop func()) {
	seconds := byDefault
	if text := r.FormValue("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxProfileSeconds {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("seconds is %q, must be 1 to %d", text, maxProfileSeconds))
			return
		}
		seconds = n
	}
	length := time.Duration(seconds) * time.Second
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + writeTimeout)); err != nil {
		refuse(w, http.StatusInternalServerError, "the connection takes no longer answer: "+err.Error())
		return
	}
	attach(w, strings.TrimPrefix(r.URL.Path, "/debug/pprof/"))
	if err := start(w); err != nil {
		w.Header().Del("Content-Disposition")
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	defer stop()
	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	<-ctx.Done()
}

func attach(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
