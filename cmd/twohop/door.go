package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
)

// door dials for one call, which need not wait for nodes that are not there: once every address has failed, it ends it.
type door struct {
	// Static after construction.
	addresses int
	end       context.CancelCauseFunc

	// Guarded by mu.
	mu     sync.Mutex
	failed map[string]error
	opened bool
}

func newDoor(addresses string, end context.CancelCauseFunc) *door {
	seen := make(map[string]bool)
	for address := range strings.SplitSeq(addresses, ",") {
		if address = strings.TrimSpace(address); address != "" {
			seen[address] = true
		}
	}
	return &door{addresses: len(seen), end: end, failed: make(map[string]error)}
}

// noNodeError says that no node could be reached.
type noNodeError struct{ failed map[string]error }

func (e *noNodeError) Error() string {
	var lines []string
	for _, address := range slices.Sorted(maps.Keys(e.failed)) {
		lines = append(lines, e.failed[address].Error())
	}
	return fmt.Sprintf("no node answers (%s): start one with `twohop messageserver`, or name its address with --address",
		strings.Join(lines, "; "))
}

func (d *door) dial(ctx context.Context, address string) (net.Conn, error) {
	network, where := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, where = "unix", path
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, where)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.opened = true
		return conn, nil
	}
	d.failed[address] = err
	if !d.opened && len(d.failed) >= d.addresses {
		d.end(&noNodeError{maps.Clone(d.failed)})
	}
	return nil, err
}
