package rules

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxFallback  = 64 << 10 // bytes
	maxType      = 127      // bytes
	maxPerSecond = 1e7
	maxBurst     = 1e9
	maxInFlight  = 10_000_000
	maxListed    = 10_000 // modules or prefixes of a list
	maxKeys      = 2
	minSecret    = 16
	maxSecret    = 1 << 10
	maxHold      = 10 * time.Second
	maxTimeout   = 24 * time.Hour
	maxAttempts  = 10
)

// The words of rate and concurrency.
const (
	PerCluster  = "cluster"
	PerNode     = "node"
	PerInstance = "instance"
	EachCaller  = "caller"
	OverReject  = "reject"
	OverAlarm   = "alarm"
	OverPace    = "pace"
)

// kinds reads what stands behind the key of a kind.
var kinds = map[Kind]func(f *fields, r *Rule){
	KindAddresses:   addresses,
	KindCallers:     callers,
	KindVisibility:  visibilityOf,
	KindPassword:    password,
	KindOff:         off,
	KindRate:        rate,
	KindConcurrency: inFlight,
	KindLift:        lift,
	KindTimeout:     timeout,
	KindRetry:       retry,
	KindBalance:     balance,
	KindLate:        late,
}

// kindKeys are the keys of the kinds, in the order of the checks.
var kindKeys = []string{
	string(KindAddresses), string(KindCallers), string(KindVisibility), string(KindPassword), string(KindOff), string(KindRate),
	string(KindConcurrency), string(KindLift), string(KindTimeout), string(KindRetry), string(KindBalance), string(KindLate),
}

// sub reads the mapping behind the key of a kind.
func (f *fields) sub(kind Kind, known ...string) *fields {
	return f.mapping(f.values[string(kind)], string(kind), string(kind)+".", known...)
}

func addresses(f *fields, r *Rule) {
	f = f.sub(KindAddresses, "allow", "deny")
	a := &Addresses{}
	for key, list := range map[string]*[]netip.Prefix{"allow": &a.Allow, "deny": &a.Deny} {
		f.words(key, maxListed, func(s string) string {
			prefix, text := parsePrefix(s)
			*list = append(*list, prefix)
			return text
		})
	}
	f.needOne("allow", "deny")
	r.Addresses = a
}

// parsePrefix returns a prefix in its usual form, or what is wrong with it.
func parsePrefix(s string) (netip.Prefix, string) {
	const like = "must be an address or a prefix, as 10.1.2.3, 10.0.0.0/8 or fd00::/8"
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Sprintf("is %s, must have no zone", quoted(s))
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Sprintf("is %s, %s", quoted(s), like)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Sprintf("is %s, has bits behind its prefix: %s or %s is meant", quoted(s), p.Masked(), p.Addr())
	}
	return p, ""
}

func callers(f *fields, r *Rule) {
	f = f.sub(KindCallers, "allow", "deny")
	c := &Callers{}
	f.words("allow", maxListed, func(s string) string { c.Allow = append(c.Allow, s); return checkName(s) })
	f.words("deny", maxListed, func(s string) string { c.Deny = append(c.Deny, s); return checkName(s) })
	f.needOne("allow", "deny")
	r.Callers = c
}

// needOne names what is missing if none of the keys is there.
func (f *fields) needOne(keys ...string) {
	if !f.failed && !slices.ContainsFunc(keys, f.has) {
		f.wrongf(f.node, "%s needs %s", strings.TrimSuffix(f.path, "."), either(keys))
	}
}

func visibilityOf(f *fields, r *Rule) {
	f = f.sub(KindVisibility, "for")
	f.require("for")
	r.Visibility = &Visibility{For: f.oneOf("for", "internal", "external", "admin")}
}

func password(f *fields, r *Rule) {
	p := &Password{}
	r.Password = p
	f = f.secretSub(f.values[string(KindPassword)], "password", "password.", "keys")
	f.require("keys")
	f.list("keys", maxKeys, func(n *yaml.Node) {
		k := f.secretSub(n, "a key of password", "password.keys.", "key_id", "secret")
		if !k.require("key_id", "secret") {
			return
		}
		id := k.whole("key_id", 1, math.MaxUint32)
		if slices.ContainsFunc(p.Keys, func(other Key) bool { return int(other.ID) == id }) {
			k.keyWrongf("key_id", "%d stands twice: each key has its own", id)
		}
		secret, ok := k.text("secret")
		if ok && (len(secret) < minSecret || len(secret) > maxSecret) {
			k.keyWrongf("secret", "has %d bytes, must have %d to %d", len(secret), minSecret, maxSecret)
		}
		p.Keys = append(p.Keys, Key{uint32(id), Secret(secret)})
	})
}

// secretSub is mapping for one that has secrets: what is in it is not repeated.
func (f *fields) secretSub(n *yaml.Node, what, path string, known ...string) *fields {
	sub := &fields{reader: f.reader, path: path, node: n, values: make(map[string]*yaml.Node), secret: true}
	sub.fill(what, known)
	return sub
}

func off(f *fields, r *Rule) {
	if n := f.values[string(KindOff)]; isNull(n) {
		f.wrongf(n, "off has no value: off: {} switches all calls off")
		return
	}
	f = f.sub(KindOff, "share", "fallback", "fallback_type")
	o := &Off{Share: f.number("share", 100, 100)}
	if s, ok := f.text("fallback"); ok {
		if len(s) > maxFallback {
			f.keyWrongf("fallback", "has %d bytes, must have at most %d", len(s), maxFallback)
		}
		o.Fallback = s
	}
	if s, ok := f.text("fallback_type"); ok {
		if len(s) > maxType || strings.Trim(s, printable) != "" {
			f.keyWrongf("fallback_type", "must be printable ASCII, at most %d bytes, as application/json", maxType)
		}
		if !f.has("fallback") {
			f.keyWrongf("fallback_type", "needs fallback")
		}
		o.FallbackType = s
	}
	r.Off = o
}

// printable is ASCII that can be seen, and the blank.
var printable = func() string {
	var s []byte
	for c := byte(' '); c <= '~'; c++ {
		s = append(s, c)
	}
	return string(s)
}()

func rate(f *fields, r *Rule) {
	f = f.sub(KindRate, "per_second", "burst", "per", "each", "over", "max_wait")
	f.require("per_second")
	l := &Rate{PerSecond: f.number("per_second", 0, maxPerSecond), Per: PerCluster, Over: OverReject}
	l.Burst = max(1, l.PerSecond/10)
	if f.has("burst") {
		if l.Burst = f.number("burst", 0, maxBurst); l.Burst != 0 && l.Burst < 1 {
			f.keyWrongf("burst", "is %v, must be at least 1: with less no call would ever fit", l.Burst)
		}
	}
	if f.has("per") {
		l.Per = f.oneOf("per", PerCluster, PerNode, PerInstance)
	}
	if f.has("each") {
		l.Each = f.oneOf("each", EachCaller)
	}
	if f.has("over") {
		l.Over = f.oneOf("over", OverReject, OverAlarm, OverPace)
	}
	switch {
	case l.Over == OverPace && !f.has("max_wait") && !f.failed:
		f.wrongf(f.node, "rate.max_wait is missing: pace needs it, how long a call may be held")
	case l.Over != OverPace && l.Over != "" && f.has("max_wait"):
		f.keyWrongf("max_wait", "only stands with over: pace")
	}
	l.MaxWait = f.duration("max_wait", maxHold)
	if l.Per == PerInstance {
		if l.Over != OverReject && l.Over != "" {
			f.keyWrongf("over", "with per: instance it can only be reject: servers do not hold calls")
		}
		if l.Each != "" {
			f.keyWrongf("each", "cannot stand with per: instance")
		}
	}
	r.Rate = l
}

func inFlight(f *fields, r *Rule) {
	f = f.sub(KindConcurrency, "max", "per", "each")
	f.require("max")
	c := &Concurrency{Max: f.whole("max", 1, maxInFlight), Per: PerNode}
	if f.has("per") {
		c.Per = f.oneOf("per", PerNode)
	}
	if f.has("each") {
		c.Each = f.oneOf("each", EachCaller)
	}
	r.Concurrency = c
}

func lift(f *fields, r *Rule) {
	f = f.sub(KindLift, "checks")
	f.require("checks")
	l := &Lift{}
	may := []string{string(KindCallers), string(KindAddresses), string(KindVisibility), string(KindPassword)}
	f.words("checks", len(may), func(s string) string {
		if !slices.Contains(may, s) {
			return fmt.Sprintf("is %s, must be %s", quoted(s), either(may))
		}
		l.Checks = append(l.Checks, Kind(s))
		return ""
	})
	r.Lift = l
}

func (l *Lift) lifts(kind Kind) bool { return slices.Contains(l.Checks, kind) }

func timeout(f *fields, r *Rule) {
	f = f.sub(KindTimeout, "default", "max")
	t := &Timeout{Default: f.duration("default", maxTimeout), Max: f.duration("max", maxTimeout)}
	f.needOne("default", "max")
	if t.Max != 0 && t.Default > t.Max {
		f.keyWrongf("default", "is %v, more than max, %v", t.Default, t.Max)
	}
	r.Timeout = t
}

func retry(f *fields, r *Rule) {
	f = f.sub(KindRetry, "max_attempts")
	f.require("max_attempts")
	r.Retry = &Retry{MaxAttempts: f.whole("max_attempts", 1, maxAttempts)}
}

func balance(f *fields, r *Rule) {
	f = f.sub(KindBalance, "by")
	f.require("by")
	r.Balance = &Balance{By: f.oneOf("by", "random", "round_robin", "hash", "least_active")}
}

func late(f *fields, r *Rule) {
	f = f.sub(KindLate, "do")
	f.require("do")
	r.Late = &Late{Do: f.oneOf("do", "discard", "run")}
}
