package alarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Options configure Alarms. The zero value of a field is its default.
type Options struct {
	// Node and Mesh are the names of the node and its mesh. Needed.
	Node, Mesh string
	// Sources say what holds.
	Sources []Source
	// Alertmanager has base URLs, as http://10.0.0.5:9093; each gets every alarm, as its cluster wants it.
	Alertmanager []string
	// Webhook is a URL that alarms are posted to, as docs/alarms.md says. A name and password in it are sent as basic
	// authentication. Default: none.
	Webhook string
	// Site is the base URL of the node's admin listener, for the link of an alarm in Alertmanager. Default: none.
	Site string

	// Every is the time from one look at the sources to the next. Default 1 s.
	Every time.Duration
	// Holds is how many looks in a row must see a condition for an alarm to begin. Default 1: sources have their own patience.
	Holds int
	// Gone is how long a condition must not be seen for its alarm to end. Default 5 s.
	Gone time.Duration
	// Resend is how often Alertmanager is told of what lasts; what it does not hear of for four times as long, it ends.
	// Default 30 s.
	Resend time.Duration
	// Keep is how long alarms that have ended are listed, at most 1,000 of them. Default 1 h.
	Keep time.Duration
	// Max is how many alarms may last at once; warnings leave a quarter of it to critical ones. Default 1,000.
	Max int

	// Elsewhere returns what the other nodes of the mesh list. It is asked before an alarm of ScopeMesh is said to be over,
	// which is left to the last node that sees it. It may block; ctx ends after 2 s. Default nil: the end is said by each node.
	Elsewhere func(ctx context.Context) []Alarm

	// HTTP sends to receivers. Default: one with a timeout of 5 s that follows no redirects.
	HTTP *http.Client
	// Wall is the clock for what people read. Default time.Now.
	Wall func() time.Time
	// Log hears of alarms that begin and end, and of receivers that go away and come back. Default: nobody.
	Log *slog.Logger
}

const (
	sendTimeout  = 5 * time.Second
	askTimeout   = 2 * time.Second
	maxEnded     = 1000
	maxWaiting   = 4096 // messages for one receiver
	maxBatch     = 200  // messages in one request
	backOffFirst = time.Second
	backOffMost  = 30 * time.Second
	lapses       = 4 // times Resend without a word, after which Alertmanager ends an alarm
)

// Validate lists everything that is wrong, a line each, or returns nil. Errors do not repeat URLs, which may hold passwords.
func (o *Options) Validate() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if o.Node == "" {
		wrong("node: is missing")
	}
	if o.Mesh == "" {
		wrong("mesh: is missing")
	}
	seen := make(map[string]bool)
	for i, base := range o.Alertmanager {
		if why := checkURL(base); why != "" {
			wrong("alertmanager[%d]: %s", i, why)
		} else if seen[base] {
			wrong("alertmanager[%d]: stands twice", i)
		}
		seen[base] = true
	}
	if why := checkURL(o.Webhook); why != "" && o.Webhook != "" {
		wrong("webhook: %s", why)
	}
	if why := checkURL(o.Site); why != "" && o.Site != "" {
		wrong("site: %s", why)
	}
	for name, d := range map[string]time.Duration{"every": o.Every, "gone": o.Gone, "resend": o.Resend, "keep": o.Keep} {
		if d < 0 {
			wrong("%s: is %v, must not be negative", name, d)
		}
	}
	if o.Holds < 0 {
		wrong("holds: is %d, must not be negative", o.Holds)
	}
	if o.Max < 0 || o.Max > 100_000 {
		wrong("max: is %d, must be 1 to 100,000, or 0 for the default", o.Max)
	}
	return errors.Join(all...)
}

func checkURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "is not a URL as http://host:port or https://host:port/path"
	}
	return ""
}

// setDefaults fills in what is left out.
func (o *Options) setDefaults() {
	o.Every = orElse(o.Every, time.Second)
	o.Holds = orElse(o.Holds, 1)
	o.Gone = orElse(o.Gone, 5*time.Second)
	o.Resend = orElse(o.Resend, 30*time.Second)
	o.Keep = orElse(o.Keep, time.Hour)
	o.Max = orElse(o.Max, 1000)
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
