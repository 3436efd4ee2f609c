package rules

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Op is what became of a rule from one document to the next.
type Op string

// The operations.
const (
	Added   Op = "added"
	Removed Op = "removed"
	Changed Op = "changed"
)

// Change is one difference between two documents. It shows no secrets.
type Change struct {
	Op   Op          `json:"op"`
	ID   string      `json:"id"`
	Kind Kind        `json:"kind"` // as it is now; of a removed rule, as it was
	Keys []KeyChange `json:"keys"` // of an added or removed rule all that it has
}

// KeyChange is one key that is not what it was. A value that is not there is empty.
type KeyChange struct {
	Key string `json:"key"` // as "rate.per_second"
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// String returns the change in a line, as in "changed web-limit: rate.per_second 100 → 200".
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s:", c.Op, c.ID)
	for i, k := range c.Keys {
		if i > 0 {
			b.WriteByte(',')
		}
		switch {
		case c.Op == Added:
			fmt.Fprintf(&b, " %s %s", k.Key, k.New)
		case c.Op == Removed:
			fmt.Fprintf(&b, " %s %s", k.Key, k.Old)
		case k.Old == "":
			fmt.Fprintf(&b, " %s %s added", k.Key, k.New)
		case k.New == "":
			fmt.Fprintf(&b, " %s removed", k.Key)
		case k.Old == k.New:
			fmt.Fprintf(&b, " %s changed", k.Key)
		default:
			fmt.Fprintf(&b, " %s %s → %s", k.Key, k.Old, k.New)
		}
	}
	return b.String()
}

// Diff returns what leads from old to new, of which either may be nil for an empty one: what is removed in the order of old, then what
// is added or changed in the order of new. That rules stand in another order, or in other lines, is no change.
func Diff(old, new *Document) []Change {
	before, after := byID(old), byID(new)
	var changes []Change
	if old != nil {
		for i := range old.Rules {
			if r := &old.Rules[i]; after[r.ID] == nil {
				changes = append(changes, Change{Removed, r.ID, r.Kind(), compare(r.keys(), nil)})
			}
		}
	}
	if new != nil {
		for i := range new.Rules {
			r := &new.Rules[i]
			if was := before[r.ID]; was == nil {
				changes = append(changes, Change{Added, r.ID, r.Kind(), compare(nil, r.keys())})
			} else if keys := compare(was.keys(), r.keys()); len(keys) > 0 {
				changes = append(changes, Change{Changed, r.ID, r.Kind(), keys})
			}
		}
	}
	return changes
}

func byID(d *Document) map[string]*Rule {
	m := map[string]*Rule{}
	if d != nil {
		for i := range d.Rules {
			m[d.Rules[i].ID] = &d.Rules[i]
		}
	}
	return m
}

// keyValue is a key of a rule with its value as it is compared, and as it is shown.
type keyValue struct{ key, value, shown string }

// compare returns the keys that differ: those of old in their order, then those that only new has.
func compare(old, new []keyValue) []KeyChange {
	var changes []KeyChange
	find := func(in []keyValue, key string) *keyValue {
		for i := range in {
			if in[i].key == key {
				return &in[i]
			}
		}
		return nil
	}
	for _, o := range old {
		switch n := find(new, o.key); {
		case n == nil:
			changes = append(changes, KeyChange{Key: o.key, Old: o.shown})
		case n.value != o.value:
			changes = append(changes, KeyChange{o.key, o.shown, n.shown})
		}
	}
	for _, n := range new {
		if find(old, n.key) == nil {
			changes = append(changes, KeyChange{Key: n.key, New: n.shown})
		}
	}
	return changes
}

// keys returns what the rule says, key by key, in the order in which a rule is written. Defaults are written out.
func (r *Rule) keys() []keyValue {
	var all []keyValue
	add := func(key, value string) {
		if value != "" {
			all = append(all, keyValue{key, value, short(value)})
		}
	}
	add("module", r.Module)
	add("method", r.Method)
	add("group", r.Group)
	add("caller", r.Caller)
	if !r.Until.IsZero() {
		add("until", r.Until.UTC().Format(time.RFC3339Nano))
	}
	if r.Shadow {
		add("shadow", "true")
	}
	add("note", r.Note)
	switch {
	case r.Addresses != nil:
		add("addresses.allow", prefixes(r.Addresses.Allow))
		add("addresses.deny", prefixes(r.Addresses.Deny))
	case r.Callers != nil:
		add("callers.allow", strings.Join(r.Callers.Allow, " "))
		add("callers.deny", strings.Join(r.Callers.Deny, " "))
	case r.Visibility != nil:
		add("visibility.for", r.Visibility.For)
	case r.Password != nil:
		for _, k := range r.Password.Keys {
			all = append(all, keyValue{fmt.Sprintf("password.key_id %d", k.ID), string(k.Secret), hidden})
		}
	case r.Off != nil:
		add("off.share", decimal(orDefault(r.Off.Share, 100)))
		add("off.fallback", r.Off.Fallback)
		add("off.fallback_type", r.Off.FallbackType)
	case r.Rate != nil:
		add("rate.per_second", decimal(r.Rate.PerSecond))
		add("rate.burst", decimal(r.Rate.burst()))
		add("rate.per", orDefault(r.Rate.Per, PerCluster))
		add("rate.each", r.Rate.Each)
		add("rate.over", orDefault(r.Rate.Over, OverReject))
		add("rate.max_wait", span(r.Rate.MaxWait))
	case r.Concurrency != nil:
		add("concurrency.max", strconv.Itoa(r.Concurrency.Max))
		add("concurrency.each", r.Concurrency.Each)
	case r.Lift != nil:
		var checks []string
		for _, c := range r.Lift.Checks {
			checks = append(checks, string(c))
		}
		add("lift.checks", strings.Join(checks, " "))
	case r.Timeout != nil:
		add("timeout.default", span(r.Timeout.Default))
		add("timeout.max", span(r.Timeout.Max))
	case r.Retry != nil:
		add("retry.max_attempts", strconv.Itoa(r.Retry.MaxAttempts))
	case r.Balance != nil:
		add("balance.by", r.Balance.By)
	case r.Late != nil:
		add("late.do", r.Late.Do)
	}
	return all
}

// short shows a value in a line.
func short(s string) string {
	if checkName(s) == "" {
		return s
	}
	return quoted(s)
}

func orDefault[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func span(d Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func prefixes(list []netip.Prefix) string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

// burst returns the burst, also where none was written.
func (l *Rate) burst() float64 {
	if l.Burst == 0 {
		return max(1, l.PerSecond/10)
	}
	return l.Burst
}
