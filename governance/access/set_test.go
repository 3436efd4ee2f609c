package access

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/twohop/twohop/governance"
)

// tenThousand returns as many prefixes of different lengths.
func tenThousand() (all []netip.Prefix) {
	for i := range 9_000 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i / 250), byte(i % 250), 0}), 24+i%9))
	}
	for i := range 1_000 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/%d", i, 48+i%81)))
	}
	return all
}

func TestSet(t *testing.T) {
	for _, c := range []struct {
		allow, deny []netip.Prefix
		yes, no     []string
	}{
		{nil, nil, []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"}, nil},
		{prefixes("10.0.0.0/8"), nil, []string{"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"}, []string{"9.255.255.255", "11.0.0.0", "::a00:1", "2001:db8::1"}},
		{nil, prefixes("10.0.0.0/8"), []string{"9.255.255.255", "11.0.0.0", "2001:db8::1"}, []string{"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"}},
		{prefixes("10.0.0.0/8"), prefixes("10.1.0.0/16", "10.1.2.0/24"), []string{"10.0.1.2", "10.2.0.0"}, []string{"10.1.0.0", "10.1.2.3", "10.1.255.255"}},
		{prefixes("10.1.2.3/8"), nil, []string{"10.200.0.1"}, []string{"11.1.2.3"}}, // bits beyond the length do not count
		{prefixes("0.0.0.0/0"), nil, []string{"0.0.0.0", "255.255.255.255"}, []string{"::", "2001:db8::1"}},
		{prefixes("::/0"), nil, []string{"::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"192.0.2.1", "::ffff:192.0.2.1"}},
		{prefixes("::ffff:192.0.2.0/120"), nil, []string{"192.0.2.255", "::ffff:192.0.2.1"}, []string{"192.0.3.0"}},
		{prefixes("192.0.2.7/32", "2001:db8::7/128"), nil, []string{"192.0.2.7", "2001:db8::7"}, []string{"192.0.2.6", "192.0.2.8", "2001:db8::6", "2001:db8::8"}},
		{prefixes("2001:db8::/32"), prefixes("2001:db8:0:1::/64"), []string{"2001:db8:ffff::", "2001:db8:0:2::"}, []string{"2001:db8:0:1::1", "2001:db9::"}},
		{nil, prefixes("fe80::/10"), []string{"2001:db8::1"}, []string{"fe80::1", "fe80::1%eth0"}}, // a zone is no way around it
		{[]netip.Prefix{{}}, nil, nil, []string{"192.0.2.1", "2001:db8::1"}},
		{nil, []netip.Prefix{{}}, nil, []string{"0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
	} {
		s := NewSet(&governance.Addresses{Allow: c.allow, Deny: c.deny})
		for _, a := range c.yes {
			if !s.Allows(netip.MustParseAddr(a)) {
				t.Errorf("allow %v, deny %v: refuses %s", c.allow, c.deny, a)
			}
		}
		for _, a := range c.no {
			if s.Allows(netip.MustParseAddr(a)) {
				t.Errorf("allow %v, deny %v: allows %s", c.allow, c.deny, a)
			}
		}
	}
	if !NewSet(nil).Allows(netip.Addr{}) || !NewSet(nil).Allows(netip.MustParseAddr("192.0.2.1")) {
		t.Error("no lists refuse somebody")
	}
}

// TestASetIsItsPrefixes compares it with a walk over the list.
func TestASetIsItsPrefixes(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		// Few different bits, so that prefixes lie in each other.
		if rapid.Bool().Draw(t, "four") {
			b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 255}), 4, 4).Draw(t, "bytes")
			return netip.AddrFrom4([4]byte(b))
		}
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 128, 255}), 16, 16).Draw(t, "bytes")
		return netip.AddrFrom16([16]byte(b))
	})
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := address.Draw(t, "address")
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	})
	rapid.Check(t, func(t *rapid.T) {
		lists := &governance.Addresses{
			Allow: rapid.SliceOfN(prefix, 0, 20).Draw(t, "allow"),
			Deny:  rapid.SliceOfN(prefix, 0, 20).Draw(t, "deny"),
		}
		within := func(list []netip.Prefix, a netip.Addr) bool {
			for _, p := range list {
				if p.Addr().Is4In6() && p.Bits() >= 96 {
					p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
				}
				if p.Contains(a.Unmap()) {
					return true
				}
			}
			return false
		}
		s := NewSet(lists)
		for range 20 {
			a := address.Draw(t, "from")
			want := !within(lists.Deny, a) && (len(lists.Allow) == 0 || within(lists.Allow, a))
			if s.Allows(a) != want {
				t.Fatalf("%s: %v, want %v", a, !want, want)
			}
		}
	})
}

func BenchmarkAllows(b *testing.B) {
	s := NewSet(&governance.Addresses{Deny: tenThousand()})
	for _, ip := range []string{"10.17.3.1", "2001:db8:77::1"} {
		from := netip.MustParseAddr(ip)
		b.Run(ip, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Allows(from)
			}
		})
	}
}
