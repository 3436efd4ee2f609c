package alarm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// ReceiverKind says what an alarm is sent as.
type ReceiverKind string

// The kinds of receivers.
const (
	Alertmanager ReceiverKind = "alertmanager"
	Webhook      ReceiverKind = "webhook"
)

// receiver brings alarms to one address.
type receiver struct {
	// Static after construction.
	alarms *Alarms
	kind   ReceiverKind
	url    *url.URL
	wake   chan struct{} // holds one: something waits

	// Guarded by mu.
	mu      sync.Mutex
	waiting map[messageKey]message
	order   uint64
	view    Receiver
}

// messageKey is what a receiver takes for one alarm. A later state takes the place of an earlier one that was not sent.
type messageKey struct {
	fingerprint string
	severity    Severity // Alertmanager tells alarms apart by it
}

type message struct {
	order uint64
	alarm Alarm
}

func newReceiver(a *Alarms, kind ReceiverKind, u *url.URL) *receiver {
	return &receiver{
		alarms: a, kind: kind, url: u, wake: make(chan struct{}, 1), waiting: make(map[messageKey]message),
		view: Receiver{Kind: kind, Address: u.Scheme + "://" + u.Host, State: Unused, Since: a.opts.Wall()},
	}
}

func (r *receiver) key(a *Alarm) messageKey {
	if r.kind == Webhook {
		return messageKey{a.Fingerprint, ""}
	}
	return messageKey{a.Fingerprint, a.Severity}
}

// put lets alarms wait to be sent. It does not block: what has no place is dropped and counted, the oldest end first.
func (r *receiver) put(list []Alarm) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	for _, one := range list {
		r.order++
		r.waitLocked(message{r.order, one})
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *receiver) waitLocked(m message) {
	key := r.key(&m.alarm)
	if _, known := r.waiting[key]; !known && len(r.waiting) >= maxWaiting {
		r.view.Dropped++
		if !r.dropEndLocked() {
			return
		}
	}
	r.waiting[key] = m
}

// dropEndLocked drops the oldest message of an alarm that has ended: Alertmanager ends it by itself.
func (r *receiver) dropEndLocked() bool {
	var oldest messageKey
	order := uint64(0)
	for key, m := range r.waiting {
		if !m.alarm.Lasts() && (order == 0 || m.order < order) {
			oldest, order = key, m.order
		}
	}
	delete(r.waiting, oldest)
	return order != 0
}

// take returns the oldest messages, and takes them off what waits.
func (r *receiver) take() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]message, 0, len(r.waiting))
	for _, m := range r.waiting {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b message) int { return cmp.Compare(a.order, b.order) })
	all = all[:min(len(all), maxBatch)]
	for i := range all {
		delete(r.waiting, r.key(&all[i].alarm))
	}
	return all
}

// giveBack lets messages wait again, unless there is newer word of the same alarm.
func (r *receiver) giveBack(batch []message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range batch {
		if _, newer := r.waiting[r.key(&m.alarm)]; !newer {
			r.waitLocked(m)
		}
	}
}

// run sends until ctx is done.
func (r *receiver) run(ctx context.Context) {
	pause := backOffFirst
	for {
		batch := r.take()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
			continue
		}
		batch = r.leave(ctx, batch)
		if len(batch) == 0 {
			continue
		}
		err := r.send(ctx, batch)
		if ctx.Err() != nil {
			r.giveBack(batch)
			return
		}
		r.settle(batch, err)
		if err == nil || errors.Is(err, errRefused) {
			pause = backOffFirst
			continue
		}
		r.giveBack(batch)
		timer := time.NewTimer(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))) //nolint:gosec // spreads, hides nothing
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, backOffMost)
	}
}

// leave takes out ends of the mesh's alarms that another node still sees: it says the end when it comes. Each node notes
// its own end before it asks, so the last one finds no other.
func (r *receiver) leave(ctx context.Context, batch []message) []message {
	if r.alarms.opts.Elsewhere == nil || !slices.ContainsFunc(batch, message.isEndOfMesh) {
		return batch
	}
	ctx, done := context.WithTimeout(ctx, askTimeout)
	defer done()
	elsewhere := make(map[string]bool)
	for _, other := range r.alarms.opts.Elsewhere(ctx) {
		if other.Lasts() && slices.ContainsFunc(other.Reporters, func(node string) bool { return node != r.alarms.opts.Node }) {
			elsewhere[other.Fingerprint] = true
		}
	}
	left := uint64(0)
	batch = slices.DeleteFunc(batch, func(m message) bool {
		is := m.isEndOfMesh() && elsewhere[m.alarm.Fingerprint]
		if is {
			left++
		}
		return is
	})
	r.mu.Lock()
	r.view.Left += left
	r.mu.Unlock()
	return batch
}

func (m message) isEndOfMesh() bool {
	return !m.alarm.Lasts() && kindOf(m.alarm.Kind).Scope == ScopeMesh
}

// errRefused is the error of a receiver that calls a message malformed: it will not take it later, either.
var errRefused = errors.New("refused")

// send makes one request. The error does not name the URL's path or user, which may be secrets.
func (r *receiver) send(ctx context.Context, batch []message) error {
	body, err := r.encode(batch)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: the request cannot be made", errRefused)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "twohop")
	answer, err := r.alarms.http.Do(request)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	const most = 4 << 10
	text, _ := io.ReadAll(io.LimitReader(answer.Body, most)) // read, so that the connection is used again
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("HTTP %d: %.200s", answer.StatusCode, bytes.TrimSpace(text))
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// settle counts how a request ended, and says when the receiver goes away or comes back.
func (r *receiver) settle(batch []message, err error) {
	now := r.alarms.opts.Wall().Round(0).UTC()
	state := Up
	if err != nil {
		state = Down
	}
	r.mu.Lock()
	v := &r.view
	switch {
	case err == nil:
		v.Sent += uint64(len(batch))
	case errors.Is(err, errRefused):
		v.Failed++
		v.Dropped += uint64(len(batch))
	default:
		v.Failed++
	}
	if err != nil {
		v.LastError, v.LastErrorAt = valid(err.Error()), now
	}
	changed := v.State != state
	if changed {
		v.State, v.Since = state, now
	}
	r.mu.Unlock()
	switch {
	case changed && err != nil:
		r.alarms.opts.Log.Warn("alarms are not delivered", "receiver", r.kind, "address", v.Address, "cause", err)
	case changed:
		r.alarms.opts.Log.Info("alarms are delivered", "receiver", r.kind, "address", v.Address)
	}
}
