//go:build linux

package chaos

import (
	"flag"
	"os"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "hold each fault as long as it would be in earnest, not only as long as it takes to show")

// TestMain is also the way in for modules: see part.
func TestMain(m *testing.M) {
	if text := os.Getenv(partVariable); text != "" {
		os.Exit(play(text))
	}
	flag.Parse()
	status := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(status)
}

// slack is how many times longer things may take than on a quiet machine.
const slack = 3

// What the design promises, on a quiet machine.
const (
	dead      = 3500 * time.Millisecond // unheard for so long, a link is down
	converged = 10 * time.Second        // after the last fault, all registries are their owners'
	freed     = 15 * time.Second        // the session of a module that has vanished
	overdue   = 200 * time.Millisecond  // a call may end so long after its deadline
	late      = 20 * time.Millisecond   // a handler may start so long after it
	quickly   = 100 * time.Millisecond  // NO_ROUTE is said
	lostIn    = time.Second             // a call that was lost with a node ends
)

// held returns how long to hold a fault.
func held(short, earnest time.Duration) time.Duration {
	if *long {
		return earnest
	}
	return short
}
