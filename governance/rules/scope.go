package rules

import (
	"strings"
	"time"
)

// specificity orders the scopes that fit one call: no two of them have the same.
func (s Scope) specificity() int {
	n := 0
	for _, part := range []struct {
		name  string
		score int
	}{{s.Method, 8}, {s.Group, 4}, {s.Module, 2}, {s.Caller, 1}} {
		if part.name != "" {
			n += part.score
		}
	}
	return n
}

// covers reports whether every call of o is one of s.
func (s Scope) covers(o Scope) bool {
	return (s.Module == "" || s.Module == o.Module) && (s.Method == "" || s.Method == o.Method) &&
		(s.Group == "" || s.Group == o.Group) && (s.Caller == "" || s.Caller == o.Caller)
}

// meets reports whether a call can be of both.
func (s Scope) meets(o Scope) bool {
	apart := func(a, b string) bool { return a != "" && b != "" && a != b }
	return !apart(s.Module, o.Module) && !apart(s.Method, o.Method) && !apart(s.Group, o.Group) && !apart(s.Caller, o.Caller)
}

// String returns the scope as in "fishtrade.SendRocket, group g1, caller web".
func (s Scope) String() string {
	var parts []string
	if s.Module != "" {
		name := s.Module
		if s.Method != "" {
			name += "." + s.Method
		}
		parts = append(parts, name)
	}
	if s.Group != "" {
		parts = append(parts, "group "+s.Group)
	}
	if s.Caller != "" {
		parts = append(parts, "caller "+s.Caller)
	}
	if len(parts) == 0 {
		return "every call"
	}
	return strings.Join(parts, ", ")
}

// Kind returns what the rule does; "" for one that does nothing.
func (r *Rule) Kind() Kind {
	switch {
	case r.Addresses != nil:
		return KindAddresses
	case r.Callers != nil:
		return KindCallers
	case r.Visibility != nil:
		return KindVisibility
	case r.Password != nil:
		return KindPassword
	case r.Off != nil:
		return KindOff
	case r.Rate != nil:
		return KindRate
	case r.Concurrency != nil:
		return KindConcurrency
	case r.Lift != nil:
		return KindLift
	case r.Timeout != nil:
		return KindTimeout
	case r.Retry != nil:
		return KindRetry
	case r.Balance != nil:
		return KindBalance
	case r.Late != nil:
		return KindLate
	}
	return ""
}

// String names the rule, as in "rocket-off (off, fishtrade.SendRocket)".
func (r Rule) String() string { return r.ID + " (" + string(r.Kind()) + ", " + r.Scope.String() + ")" }

// ended reports whether the rule has ended at a time.
func (r *Rule) ended(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }
