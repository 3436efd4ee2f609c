package demo

import (
	"fmt"
	"slices"
)

// fate is what is on record about the calls of one key. Counts stop at 255.
type fate struct {
	asked, moved                       uint32 // the amounts
	invoked, started, done             uint8
	ok, notExecuted, executed, unknown uint8
	refused                            uint8 // of executed: because of the limit
	crossed                            uint8 // of ok: with the answer of another call
}

// account is the fates of one method's calls.
type account struct {
	method string // module.Method
	effect string // what a handler does, for people
	fates  map[key]fate

	// Sums of all records.
	invoked, started, done, ended int
	told                          map[class]int
	hops                          hops            // of ends
	entered                       map[string]hops // of ends, by the node that the caller was at
}

// hops counts ends by how many nodes the call crossed: 1 or 2. Where no node said so it is 0, and so it is for more, which cannot be.
type hops [3]int

func (h *hops) note(nodes int) {
	if nodes >= len(h) {
		nodes = 0
	}
	h[nodes]++
}

func newAccount(method, effect string) *account {
	return &account{method: method, effect: effect, fates: map[key]fate{}, told: map[class]int{}, entered: map[string]hops{}}
}

func up(n *uint8) {
	if *n < 255 {
		*n++
	}
}

// note takes one record.
func (a *account) note(r *record) {
	f := a.fates[r.Key]
	switch r.Kind {
	case kindInvoke:
		a.invoked++
		up(&f.invoked)
		f.asked = uint32(r.Amount)
	case kindStart:
		a.started++
		up(&f.started)
	case kindMoved, kindAdded:
		a.done++
		up(&f.done)
		f.moved = uint32(r.Amount)
	case kindEnd:
		a.ended++
		a.told[r.Class]++
		a.hops.note(len(r.Nodes))
		if len(r.Nodes) > 0 {
			h := a.entered[r.Nodes[0]]
			h.note(len(r.Nodes))
			a.entered[r.Nodes[0]] = h
		}
		switch r.Class {
		case classOK:
			up(&f.ok)
			if r.Crossed != "" {
				up(&f.crossed)
			}
		case classNotExecuted:
			up(&f.notExecuted)
		case classExecuted:
			up(&f.executed)
			if r.App == codeLimit {
				up(&f.refused)
			}
		default:
			up(&f.unknown)
		}
	}
	a.fates[r.Key] = f
}

// unknown returns how many calls nobody knows the end of: UNKNOWN, or an invoke without an end, because the caller was
// killed.
func (a *account) unknown() int { return a.told[classUnknown] + a.invoked - a.ended }

// lie is a contradiction between what a caller was told and what the ledgers have.
type lie struct {
	method string
	key    key
	what   string
}

// contradiction compares both sides of one key, and returns "" if they agree.
func (f fate) contradiction(effect string) string {
	invoked, started, done := int(f.invoked), int(f.started), int(f.done)
	ends := int(f.ok) + int(f.notExecuted) + int(f.executed) + int(f.unknown)
	least, most := int(f.ok)+int(f.executed), invoked-int(f.notExecuted)
	switch {
	case invoked == 0 && started+done > 0:
		return fmt.Sprintf("nobody invoked it, and it started %s", times(max(started, done)))
	case ends > invoked:
		return fmt.Sprintf("it was invoked %s and ended %s", times(invoked), times(ends))
	case started > most, started < least:
		return fmt.Sprintf("the caller was told %s, and it started %s", f.told(), times(started))
	case done > started:
		return fmt.Sprintf("it started %s, and %s %s", times(started), effect, times(done))
	case done < int(f.ok):
		return fmt.Sprintf("the caller was told %s, and it %s %s", f.told(), effect, times(done))
	case done > most-int(f.refused):
		return fmt.Sprintf("the caller was told that it is above the limit, and it %s %s", effect, times(done))
	case done > 0 && f.asked != f.moved:
		return fmt.Sprintf("the caller asked for %d, and it %s %d", f.asked, effect, f.moved)
	case f.crossed > 0:
		return "the caller was given the answer of another call"
	}
	return ""
}

// told returns the classes that the caller was told, for people.
func (f fate) told() string {
	text := ""
	add := func(n uint8, word string) {
		if n > 0 {
			text += " and " + word
		}
	}
	add(f.ok, "OK")
	add(f.executed, "EXECUTED")
	add(f.notExecuted, "NOT_EXECUTED")
	add(f.unknown, "UNKNOWN")
	if text == "" {
		return "nothing (UNKNOWN)"
	}
	return text[len(" and "):]
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

// lies returns every contradiction, in the order of keys.
func (a *account) lies() []lie {
	var found []lie
	for k, f := range a.fates {
		if what := f.contradiction(a.effect); what != "" {
			found = append(found, lie{a.method, k, what})
		}
	}
	slices.SortFunc(found, func(x, y lie) int {
		switch {
		case x.key < y.key:
			return -1
		case x.key > y.key:
			return 1
		}
		return 0
	})
	return found
}

// unknownStarted returns how many of the calls that are unknown did start.
func (a *account) unknownStarted() int {
	n := 0
	for _, f := range a.fates {
		if f.invoked > 0 && f.ok+f.executed+f.notExecuted == 0 && f.started > 0 {
			n++
		}
	}
	return n
}

// refused returns how many calls were told that they are above the limit.
func (a *account) refused() int {
	n := 0
	for _, f := range a.fates {
		n += int(f.refused)
	}
	return n
}
