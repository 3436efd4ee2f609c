package access

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/twohop/twohop/governance"
)

// Set is address lists made for lookups. It does not change; safe for concurrent use.
//
// An IPv4 address that is written as IPv6 (::ffff:192.0.2.1), as a socket for both gives it, counts as the IPv4 address, in
// prefixes, too. Otherwise the families are apart: ::/0 is every IPv6 address and no IPv4 one. Zones are not looked at.
type Set struct {
	// Static after construction.
	allow    ranges
	deny     ranges
	allowAny bool // there is no allow list
}

// NewSet makes the set of a; nil allows every address. It keeps nothing of a.
func NewSet(a *governance.Addresses) *Set {
	if a == nil {
		return &Set{allowAny: true}
	}
	return &Set{allow: rangesOf(a.Allow, false), deny: rangesOf(a.Deny, true), allowAny: len(a.Allow) == 0}
}

// loopback is what the zero Addr counts as: a caller on a unix socket is on this machine.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Allows reports whether calls may come from an address: it is not denied, and it is allowed or nothing is listed as allowed.
// The zero Addr counts as 127.0.0.1. It does not allocate.
func (s *Set) Allows(from netip.Addr) bool {
	if !from.IsValid() {
		from = loopback
	}
	from = from.Unmap()
	return !s.deny.contain(from) && (s.allowAny || s.allow.contain(from))
}

// ranges are addresses of both families, each sorted and without overlaps.
type ranges struct {
	four []span[uint32]
	six  []span[wide]
}

// span is the addresses from first to last, both included.
type span[A any] struct{ first, last A }

// wide is an IPv6 address as a number.
type wide struct{ high, low uint64 }

func (a wide) compare(b wide) int {
	switch {
	case a == b:
		return 0
	case a.high < b.high || a.high == b.high && a.low < b.low:
		return -1
	}
	return 1
}

// rangesOf merges prefixes. One that is invalid stands for all addresses where everything is said to be, else for none.
func rangesOf(prefixes []netip.Prefix, everything bool) ranges {
	var r ranges
	for _, p := range prefixes {
		switch bits := p.Bits(); {
		case !p.IsValid() && everything:
			r.four = append(r.four, span[uint32]{0, ^uint32(0)})
			r.six = append(r.six, span[wide]{wide{}, wide{^uint64(0), ^uint64(0)}})
		case !p.IsValid():
		case p.Addr().Is4():
			r.four = append(r.four, span4(p.Addr(), bits))
		case p.Addr().Is4In6() && bits >= 96:
			r.four = append(r.four, span4(p.Addr().Unmap(), bits-96))
		default:
			r.six = append(r.six, span6(p.Addr(), bits))
		}
	}
	r.four = merge(r.four, func(a, b uint32) int {
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	r.six = merge(r.six, wide.compare)
	return r
}

func span4(a netip.Addr, bits int) span[uint32] {
	mask := ^uint32(0) >> bits // 0 from 32 on
	first := number4(a) &^ mask
	return span[uint32]{first, first | mask}
}

func span6(a netip.Addr, bits int) span[wide] {
	var mask wide
	if bits < 64 {
		mask = wide{^uint64(0) >> bits, ^uint64(0)}
	} else {
		mask = wide{0, ^uint64(0) >> (bits - 64)}
	}
	first := number6(a)
	first.high &^= mask.high
	first.low &^= mask.low
	return span[wide]{first, wide{first.high | mask.high, first.low | mask.low}}
}

func number4(a netip.Addr) uint32 {
	bytes := a.As4()
	return binary.BigEndian.Uint32(bytes[:])
}

func number6(a netip.Addr) wide {
	bytes := a.As16()
	return wide{binary.BigEndian.Uint64(bytes[:8]), binary.BigEndian.Uint64(bytes[8:])}
}

// merge sorts spans and joins those that overlap. Prefixes lie in each other or apart, so that nothing else can happen.
func merge[A any](spans []span[A], compare func(a, b A) int) []span[A] {
	slices.SortFunc(spans, func(a, b span[A]) int {
		if c := compare(a.first, b.first); c != 0 {
			return c
		}
		return -compare(a.last, b.last) // the wider one first
	})
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && compare(s.last, merged[n-1].last) <= 0 {
			continue
		}
		merged = append(merged, s)
	}
	return slices.Clip(merged)
}

// contain looks for the last span that begins at or before the address. The two searches are written out: a comparison
// through a function costs more than the search.
func (r *ranges) contain(a netip.Addr) bool {
	if a.Is4() {
		n, low, high := number4(a), 0, len(r.four)
		for low < high {
			if middle := int(uint(low+high) / 2); r.four[middle].first <= n {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return low > 0 && n <= r.four[low-1].last
	}
	n, low, high := number6(a), 0, len(r.six)
	for low < high {
		if middle := int(uint(low+high) / 2); r.six[middle].first.compare(n) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low > 0 && n.compare(r.six[low-1].last) <= 0
}
