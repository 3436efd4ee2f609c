//go:build linux

package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is a machine of the world: a network namespace with one address.
type host struct {
	world  *world
	name   string
	number int
	ip     string
	ns     *os.File
}

// host returns a host, which is made if it is new.
func (w *world) host(name string) *host {
	w.t.Helper()
	if h := w.hosts[name]; h != nil {
		return h
	}
	h := &host{world: w, name: name, number: len(w.hosts) + 1}
	h.ip = fmt.Sprintf("10.77.0.%d", h.number)
	end := "v" + strconv.Itoa(h.number)
	w.command("ip", "netns", "add", name)
	w.command("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
	w.command("ip", "link", "set", end, "master", "bridge", "up")
	w.command("ip", "-n", name, "link", "set", "lo", "up")
	w.command("ip", "-n", name, "addr", "add", h.ip+"/24", "dev", "eth0")
	w.command("ip", "-n", name, "link", "set", "eth0", "up")
	ns, err := os.Open("/run/netns/" + name)
	if err != nil {
		w.t.Fatal(err)
	}
	h.ns = ns
	h.nft("add table inet chaos")
	h.nft("add chain inet chaos in { type filter hook input priority 0; }")
	w.hosts[name] = h
	return h
}

// enter runs f on a thread that stands in the host's network. Processes that f starts and sockets that it opens are there.
func (h *host) enter(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("host %s: %w", h.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// dial opens a connection from the host.
func (h *host) dial(ctx context.Context, network, address string) (nc net.Conn, err error) {
	err = h.enter(func() error {
		var d net.Dialer
		nc, err = d.DialContext(ctx, network, address)
		return err
	})
	return nc, err
}

// command runs a command on the host to its end, and returns what it prints.
func (h *host) command(name string, args ...string) (text string, err error) {
	cmd := exec.Command(name, args...)
	err = h.enter(func() error {
		out, err := cmd.CombinedOutput()
		text = string(out)
		return err
	})
	return text, err
}

// must is command for what cannot fail.
func (h *host) must(name string, args ...string) string {
	h.world.t.Helper()
	text, err := h.command(name, args...)
	if err != nil {
		h.world.t.Fatalf("%s: %s %s: %v: %s", h.name, name, strings.Join(args, " "), err, text)
	}
	return text
}

func (h *host) nft(rule string) { h.world.t.Helper(); h.must("nft", strings.Fields(rule)...) }

// drop has packets vanish on the way from one host to another, and says nothing to either.
func (w *world) drop(from, to string) {
	w.t.Helper()
	w.host(to).nft("add rule inet chaos in ip saddr " + w.host(from).ip + " drop")
}

// cut splits two hosts in both directions.
func (w *world) cut(one, other string) {
	w.t.Helper()
	w.drop(one, other)
	w.drop(other, one)
}

// vanish makes a host disappear for all others.
func (w *world) vanish(name string) {
	w.t.Helper()
	for other := range w.hosts {
		if other != name {
			w.cut(name, other)
		}
	}
}

// lose has a share of the packets vanish on the way from one host to another.
func (w *world) lose(from, to string, percent int) {
	w.t.Helper()
	w.host(to).nft(fmt.Sprintf("add rule inet chaos in ip saddr %s numgen random mod 100 < %d drop", w.host(from).ip, percent))
}

// heal ends what drop, cut, vanish and lose began.
func (w *world) heal() {
	w.t.Helper()
	for _, h := range w.hosts {
		h.nft("flush chain inet chaos in")
	}
}

// throttle bounds what leaves a host, in kbit a second; 0 ends it.
func (w *world) throttle(name string, kbit int) {
	w.t.Helper()
	if kbit == 0 {
		w.command("tc", "-n", name, "qdisc", "del", "dev", "eth0", "root")
		return
	}
	w.command("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", fmt.Sprintf("%dkbit", kbit), "burst", "16kb", "latency", "300ms")
}

// move gives a host another address, and takes the old one away.
func (w *world) move(name string) {
	w.t.Helper()
	h := w.host(name)
	old := h.ip
	h.number += 50
	h.ip = fmt.Sprintf("10.77.0.%d", h.number)
	w.command("ip", "-n", name, "addr", "del", old+"/24", "dev", "eth0")
	w.command("ip", "-n", name, "addr", "add", h.ip+"/24", "dev", "eth0")
	w.logf("host %s has moved from %s to %s", name, old, h.ip)
}
