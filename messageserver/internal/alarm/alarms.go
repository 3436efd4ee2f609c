package alarm

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Alarms looks at sources, and lists and sends what they say. Safe for concurrent use.
type Alarms struct {
	// Static after construction.
	opts      Options
	receivers []*receiver
	http      *http.Client

	// Guarded by mu.
	mu       sync.Mutex
	lasting  map[string]*state // by fingerprint
	ended    []Alarm           // the oldest first
	overflow uint64
}

// state is one condition. Its times are those of the look, on the process's clock.
type state struct {
	alarm   Alarm
	looks   int       // in a row that saw it, until it began
	begun   bool      // the operator hears of it
	missing time.Time // since when it is not seen; zero while it is
	gone    time.Time // the same, on the wall
	told    time.Time // when Alertmanager was told last
}

// New returns Alarms that look at nothing before Run. The error lists everything that is wrong with the options.
func New(o Options) (*Alarms, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	a := &Alarms{opts: o, http: o.HTTP, lasting: make(map[string]*state)}
	if a.http == nil {
		a.http = &http.Client{
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       sendTimeout,
		}
	}
	for _, base := range o.Alertmanager {
		u, _ := url.Parse(base) // Validate has
		a.receivers = append(a.receivers, newReceiver(a, Alertmanager, u.JoinPath("api/v2/alerts")))
	}
	if o.Webhook != "" {
		u, _ := url.Parse(o.Webhook)
		a.receivers = append(a.receivers, newReceiver(a, Webhook, u))
	}
	return a, nil
}

// Run looks and sends until ctx is done. It is called once. What waits to be sent then is not.
func (a *Alarms) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, r := range a.receivers {
		running.Go(func() { r.run(ctx) })
	}
	ticker := time.NewTicker(a.opts.Every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		a.look(time.Now())
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	running.Wait()
	if a.opts.HTTP == nil {
		a.http.CloseIdleConnections()
	}
}

// look asks the sources once.
func (a *Alarms) look(now time.Time) {
	wall := a.opts.Wall().Round(0).UTC()
	found := a.ask(wall)

	a.mu.Lock()
	var out outbox
	dropped := a.noteLocked(found, now, &out)
	a.overflow += uint64(dropped)
	if dropped > 0 {
		over := Alarm{Kind: AlarmsOverflow, Subject: a.opts.Node, Text: "more alarms hold than are kept"}
		over.complete(a.opts.Node, a.opts.Mesh, wall)
		found[over.Fingerprint] = over
		a.noteOneLocked(over, now, &out)
	}
	a.missLocked(found, now, wall, &out)
	a.forgetLocked(wall)
	a.mu.Unlock()

	out.log(a.opts.Log)
	for _, r := range a.receivers {
		r.put(out.of(r.kind))
	}
}

// ask returns what the sources say, by fingerprint. What is said twice is one alarm, of the higher severity.
func (a *Alarms) ask(wall time.Time) map[string]Alarm {
	found := make(map[string]Alarm)
	for _, source := range a.opts.Sources {
		for _, one := range source() {
			one.complete(a.opts.Node, a.opts.Mesh, wall)
			if other, ok := found[one.Fingerprint]; ok && (other.Severity == Critical || one.Severity == Warning) {
				continue
			}
			found[one.Fingerprint] = one
		}
	}
	return found
}

// noteLocked takes in what was found: first what is known, then what is new, critical first, while there is room. It returns
// how many had none.
func (a *Alarms) noteLocked(found map[string]Alarm, now time.Time, out *outbox) (dropped int) {
	var fresh []Alarm
	for fingerprint, one := range found {
		if a.lasting[fingerprint] != nil {
			a.noteOneLocked(one, now, out)
		} else {
			fresh = append(fresh, one)
		}
	}
	sortList(fresh)
	for _, one := range fresh {
		room := a.opts.Max
		if one.Severity != Critical {
			room -= a.opts.Max / 4
		}
		if len(a.lasting) >= room {
			dropped++
			continue
		}
		a.noteOneLocked(one, now, out)
	}
	return dropped
}

// noteOneLocked takes in one condition that holds.
func (a *Alarms) noteOneLocked(one Alarm, now time.Time, out *outbox) {
	s := a.lasting[one.Fingerprint]
	if s == nil {
		s = &state{alarm: one}
		a.lasting[one.Fingerprint] = s
	}
	if !s.missing.IsZero() {
		s.missing = time.Time{}
		s.alarm.Count++
	}
	severity := s.alarm.Severity
	s.alarm.Text, s.alarm.LastSeen, s.alarm.Severity = one.Text, one.LastSeen, one.Severity
	if one.Since.Before(s.alarm.Since) {
		s.alarm.Since = one.Since
	}
	s.looks++
	switch {
	case !s.begun && s.looks >= a.opts.Holds:
		s.begun, s.told = true, now
		out.begun = append(out.begun, s.alarm)
	case s.begun && severity != s.alarm.Severity:
		// In Alertmanager the severity is a part of what an alarm is: the one of the old severity is over.
		old := s.alarm
		old.Severity, old.Ended = severity, one.LastSeen
		s.told = now
		out.replaced = append(out.replaced, old)
		out.begun = append(out.begun, s.alarm)
	case s.begun && now.Sub(s.told) >= a.opts.Resend:
		s.told = now
		out.repeated = append(out.repeated, s.alarm)
	}
}

// missLocked ends what was not found for long enough.
func (a *Alarms) missLocked(found map[string]Alarm, now, wall time.Time, out *outbox) {
	for fingerprint, s := range a.lasting {
		if _, holds := found[fingerprint]; holds {
			continue
		}
		if s.missing.IsZero() {
			s.missing, s.gone = now, wall
		}
		switch {
		case !s.begun:
			delete(a.lasting, fingerprint)
		case now.Sub(s.missing) >= a.opts.Gone:
			delete(a.lasting, fingerprint)
			s.alarm.Ended = s.gone
			if s.gone.Before(s.alarm.Since) { // the wall clock was set back
				s.alarm.Ended = s.alarm.Since
			}
			a.ended = append(a.ended, s.alarm)
			out.ended = append(out.ended, s.alarm)
		case now.Sub(s.told) >= a.opts.Resend: // it has not ended, and Alertmanager must not think so
			s.told = now
			out.repeated = append(out.repeated, s.alarm)
		}
	}
}

// forgetLocked drops what has ended long ago, or too many of it.
func (a *Alarms) forgetLocked(wall time.Time) {
	a.ended = slices.DeleteFunc(a.ended, func(e Alarm) bool { return wall.Sub(e.Ended) > a.opts.Keep })
	if over := len(a.ended) - maxEnded; over > 0 {
		a.ended = slices.Delete(a.ended, 0, over)
	}
}

// List returns the alarms that last, or all that are kept: what lasts, is critical, and is new goes first.
func (a *Alarms) List(all bool) []Alarm {
	a.mu.Lock()
	list := make([]Alarm, 0, len(a.lasting))
	for _, s := range a.lasting {
		if s.begun {
			list = append(list, s.alarm)
		}
	}
	if all {
		list = append(list, a.ended...)
	}
	a.mu.Unlock()
	sortList(list)
	return list
}

// outbox is what one look has to tell.
type outbox struct{ begun, repeated, replaced, ended []Alarm }

// of returns what a kind of receiver is told.
func (o *outbox) of(kind ReceiverKind) []Alarm {
	if kind == Webhook {
		return slices.Concat(o.begun, o.ended)
	}
	return slices.Concat(o.replaced, o.begun, o.repeated, o.ended)
}

// log writes a line for each kind that has begun or ended, with the first alarm of it.
func (o *outbox) log(to *slog.Logger) {
	write := func(list []Alarm, line func(first Alarm, more int)) {
		first, count := make(map[string]Alarm), make(map[string]int)
		for _, one := range list {
			if count[one.Kind]++; count[one.Kind] == 1 {
				first[one.Kind] = one
			}
		}
		for kind, one := range first {
			line(one, count[kind]-1)
		}
	}
	write(o.begun, func(one Alarm, more int) {
		to.Warn("alarm", "kind", one.Kind, "subject", one.Subject, "severity", one.Severity, "text", one.Text, "more", more)
	})
	write(o.ended, func(one Alarm, more int) {
		to.Info("alarm over", "kind", one.Kind, "subject", one.Subject, "lasted", one.Ended.Sub(one.Since).Round(time.Millisecond), "more", more)
	})
}
