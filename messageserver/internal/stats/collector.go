package stats

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twohop/twohop/proto/wire"
)

// What metrics show by name; all others are Other.
const (
	maxShownCallers = 100
	maxShownMethods = 1000
)

// shownBounds are the buckets that metrics have, in µs: each is where one of a Histogram's ends.
var shownBounds = [...]uint64{64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26}

// Collector returns what Prometheus reads: calls by class, their times, and those in flight, of up to 1,000 methods; calls of the
// 100 most active callers; and what all others have, as Other. No counter goes back while its series is there.
func (b *Books) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("twohop_"+name, help, labels, nil)
	}
	return &collector{
		books:    b,
		calls:    desc("method_calls_total", "Calls that were answered, by what is true of their handlers.", "module", "method", "class"),
		times:    desc("method_duration_seconds", "How long calls were in the node's hands.", "module", "method"),
		inFlight: desc("method_in_flight", "Calls that have entered and are not answered.", "module", "method"),
		callers:  desc("caller_calls_total", "Calls that entered, of the most active callers.", "caller"),
		subjects: desc("stats_subjects", "Callers' methods that are counted apart."),
		overflow: desc("stats_overflow_total", "Times that there was no room to count a caller's method apart."),
		lost:     desc("stats_minutes_lost_total", "Minutes that could not be written and were dropped."),
	}
}

type collector struct {
	books *Books

	calls, times, inFlight, callers, subjects, overflow, lost *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.calls, c.times, c.inFlight, c.callers, c.subjects, c.overflow, c.lost} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.books.measure(c) {
		to <- m // without a lock: who takes them may be slow
	}
}

// methodSum is what a method has counted.
type methodSum struct {
	tally

	inFlight int64
}

// measure returns all metrics.
func (b *Books) measure(c *collector) (all []prometheus.Metric) {
	b.rollups.mu.Lock()
	lost := b.rollups.lost
	b.rollups.mu.Unlock()
	b.lock(b.opts.Now())
	defer b.mu.Unlock()
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(d, kind, v, labels...))
	}
	value(c.subjects, gauge, float64(len(b.list)))
	value(c.overflow, counter, float64(b.overflowed.Load()))
	value(c.lost, counter, float64(lost))
	for _, caller := range b.callers {
		if caller.shown {
			value(c.callers, counter, float64(caller.entered), caller.name)
		}
	}
	value(c.callers, counter, float64(b.unshown), Other)

	methods := make(map[*methodBook]*methodSum, len(b.methods))
	for _, s := range b.list {
		m := methods[s.method]
		if m == nil {
			m = new(methodSum)
			m.add(s.method.gone)
			methods[s.method] = m
		}
		m.add(s.total)
		s.running(&m.tally)
		m.inFlight += s.inFlight()
	}
	rest := new(methodSum)
	rest.add(b.hidden)
	for book, m := range methods {
		if !book.shown && m.started > 0 && book.module != Other && b.shown.methods < maxShownMethods {
			book.shown = true
			b.shown.methods++
		}
		if book.shown {
			m.sub(book.told)
			rest.add(book.told)
			all = append(all, c.method(book.module, book.method, m)...)
			continue
		}
		book.told = m.sums()
		rest.add(book.told)
		rest.inFlight += m.inFlight
	}
	return append(all, c.method(Other, Other, rest)...)
}

// method returns the metrics of one method.
func (c *collector) method(module, method string, m *methodSum) (all []prometheus.Metric) {
	for class, n := range m.codes.classes() {
		all = append(all, prometheus.MustNewConstMetric(c.calls, prometheus.CounterValue, float64(n), module, method, wire.Class(class).String()))
	}
	buckets := make(map[float64]uint64, len(shownBounds))
	next, below := 0, uint64(0)
	for _, bound := range shownBounds {
		for ; next < bucketOf(bound); next++ {
			below += m.times[next]
		}
		buckets[float64(bound)/1e6] = below
	}
	for ; next < Buckets; next++ {
		below += m.times[next]
	}
	return append(all,
		prometheus.MustNewConstHistogram(c.times, below, float64(m.sumUS)/1e6, buckets, module, method),
		prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(m.inFlight), module, method))
}

// countCallerLocked counts calls of a caller: by its name, if that has a place.
func (b *Books) countCallerLocked(c *callerBook, calls uint64) {
	if !c.shown && b.shown.callers < maxShownCallers && c.name != Other {
		c.shown = true
		b.shown.callers++
	}
	c.minute += calls
	if c.shown {
		c.entered += calls
	} else {
		b.unshown += calls
	}
}

// maxReplaced is how many callers lose their place in a minute.
const maxReplaced = 10

// replaceCallersLocked gives the places of those that called least in the minute to those that called more than twice as
// much. What a caller calls without a place is Other's for good, and its series begins anew: no counter goes back.
func (b *Books) replaceCallersLocked() {
	if b.shown.callers >= maxShownCallers {
		var shown, waiting []*callerBook
		for _, c := range b.callers {
			switch {
			case c.shown:
				shown = append(shown, c)
			case c.minute > 0 && c.name != Other:
				waiting = append(waiting, c)
			}
		}
		slices.SortFunc(shown, func(a, b *callerBook) int { return cmp.Compare(a.minute, b.minute) })
		slices.SortFunc(waiting, func(a, b *callerBook) int { return cmp.Compare(b.minute, a.minute) })
		for i := range min(len(shown), len(waiting), maxReplaced) {
			if waiting[i].minute <= 2*shown[i].minute {
				break
			}
			shown[i].shown, waiting[i].shown = false, true
			shown[i].entered, waiting[i].entered = 0, 0
		}
	}
	for _, c := range b.callers {
		c.minute = 0
	}
}
