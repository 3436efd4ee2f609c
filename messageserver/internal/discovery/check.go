package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/twohop/twohop/proto/wire"
)

const maxAddress = 255 // bytes

// Validate lists everything that is wrong with the list, a line each, or returns nil.
func (l List) Validate() error {
	var found []string
	l.check(func(i int, key, text string) {
		if i < 0 {
			found = append(found, text)
		} else {
			found = append(found, fmt.Sprintf("members[%d].%s: %s", i, key, text))
		}
	}, func(i int) string { return fmt.Sprintf("members[%d]", i) })
	if len(found) == 0 {
		return nil
	}
	return errors.New(strings.Join(found, "\n"))
}

// check calls wrong for everything that is wrong: with a key of a member, or, with i < 0, with the list. where names a
// member for people.
func (l List) check(wrong func(i int, key, text string), where func(i int) string) {
	if len(l) == 0 {
		wrong(-1, "", "there are no members: a mesh has at least the node itself")
	}
	if len(l) > MaxMembers {
		wrong(-1, "", fmt.Sprintf("there are %d members, a mesh has at most %d", len(l), MaxMembers))
	}
	nodes, numbers, addresses := make(map[string]int), make(map[int]int), make(map[string]int)
	for i, m := range l {
		if text := checkNode(m.Node); text != "" {
			wrong(i, "node", text)
		} else if first, ok := nodes[m.Node]; ok {
			wrong(i, "node", fmt.Sprintf("%q stands twice: first in %s", m.Node, where(first)))
		} else {
			nodes[m.Node] = i
		}
		if m.Number < 0 || m.Number > MaxNumber {
			wrong(i, "number", fmt.Sprintf("is %d, must be 0 to %d", m.Number, MaxNumber))
		} else if first, ok := numbers[m.Number]; ok {
			wrong(i, "number", fmt.Sprintf("%d stands twice: first in %s; each node has a number of its own", m.Number, where(first)))
		} else {
			numbers[m.Number] = i
		}
		if plain, text := checkAddress(m.Address); text != "" {
			wrong(i, "address", text)
		} else if first, ok := addresses[plain]; ok {
			wrong(i, "address", fmt.Sprintf("%q stands twice: first in %s", m.Address, where(first)))
		} else {
			addresses[plain] = i
		}
	}
}

func checkNode(name string) string {
	if err := wire.CheckName("node", name); err != nil || wire.Reserved(name) {
		return fmt.Sprintf("%q is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _", name)
	}
	return ""
}

// checkAddress returns the address in the form that others of the same meaning have, too, or what is wrong with it.
func checkAddress(address string) (plain, wrong string) {
	if len(address) > maxAddress {
		return "", fmt.Sprintf("has %d bytes, must have at most %d", len(address), maxAddress)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", fmt.Sprintf("%q is not host:port, as 10.0.0.11:7072 or [fd00::11]:7072", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return "", fmt.Sprintf("%q has no port from 1 to 65535", address)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return "", fmt.Sprintf("%q is not the address of one node: others must be able to dial it", address)
		}
		return net.JoinHostPort(ip.Unmap().String(), port), ""
	}
	if !isHostName(host) {
		return "", fmt.Sprintf("%q has neither an IP address nor a host name before its port", address)
	}
	return net.JoinHostPort(strings.ToLower(host), port), ""
}

// isHostName reports whether a name may stand for a machine. One of digits and dots only is a mistyped IP address.
func isHostName(name string) bool {
	if strings.Trim(name, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
