package rules

import (
	"fmt"
	"net/netip"

	"github.com/twohop/twohop/governance"
)

// What the servers of one module are told fits into one frame. The bounds are those of the protocol's POLICY.
const (
	maxRestrictions  = 4096
	maxRestrictSize  = 1 << 20 // bytes
	restrictOverhead = 64      // bytes of a restriction besides its texts, at most
)

// load is what the servers of one module have to enforce.
type load struct{ rules, bytes int }

// beyondServers finds the first rule that makes the servers of a module enforce more than they can be told.
func (d *Document) beyondServers() []Problem {
	var all load // rules of every module
	of := map[string]*load{}
	var most load // the largest numbers there, of whichever modules
	for i := range d.Rules {
		r := &d.Rules[i]
		size, enforced := r.atServers()
		if !enforced {
			continue
		}
		l, reach := &all, &most
		if r.Module != "" {
			if of[r.Module] == nil {
				of[r.Module] = &load{}
			}
			l = of[r.Module]
			reach = l
		}
		l.rules++
		l.bytes += size
		if r.Module != "" {
			most.rules, most.bytes = max(most.rules, l.rules), max(most.bytes, l.bytes)
		}
		rules, bytes := all.rules+reach.rules, all.bytes+reach.bytes
		switch {
		case rules > maxRestrictions:
			return []Problem{r.problem(position{}, fmt.Sprintf("with the rule %s there are more than %d that the servers of one module enforce "+
				"by themselves (wholly off, addresses, passwords, rates of an instance, late)", r.ID, maxRestrictions))}
		case bytes > maxRestrictSize:
			return []Problem{r.problem(position{}, fmt.Sprintf("with the rule %s the servers of one module have to be told more than %d bytes "+
				"(lists of addresses, fallbacks, passwords)", r.ID, maxRestrictSize))}
		}
	}
	return nil
}

// atServers returns how many bytes the rule takes where servers enforce it, and whether they do.
func (r *Rule) atServers() (size int, enforced bool) {
	if r.Group != "" {
		return 0, false
	}
	c := compiled{Rule: r, kind: r.Kind()}
	var told governance.Restriction
	if !c.restricts(&told) {
		return 0, false
	}
	size = restrictOverhead + len(r.ID) + len(r.Method) + len(r.Caller)
	if told.Off != nil {
		size += len(told.Off.Fallback) + len(told.Off.FallbackType)
	}
	if told.Addresses != nil {
		for _, list := range [][]netip.Prefix{told.Addresses.Allow, told.Addresses.Deny} {
			for _, p := range list {
				size += len(p.String()) + 2
			}
		}
	}
	for _, k := range told.Password {
		size += len(k.Secret) + 10
	}
	return size, true
}
