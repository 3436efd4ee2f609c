package demo

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say how the story goes. The zero value sends as fast as it goes, once through the sample.
type Options struct {
	// Input is a file with a gift a line, "-" for Stdin, or "" for the sample.
	Input string
	// For bounds how long gifts are sent; the input is repeated until then. 0: see Once.
	For time.Duration
	// Once ends after one pass of the input.
	Once bool
	// Rate is how many gifts are sent in a second, by all callers. 0: as fast as it goes.
	Rate int
	// InFlight is how many calls each caller has in flight at most.
	InFlight int
	// Chaos kills nodes and instances; Seed makes its plan. 0: a random one, which is printed.
	Chaos bool
	Seed  uint64
	// Work is how long each handler takes, besides what it writes. With Chaos it should be long enough for a kill to meet calls.
	Work time.Duration
	// JSON prints one object at the end, and nothing before.
	JSON bool
	// Keep leaves ledgers and logs behind, and prints where.
	Keep bool

	Stdin       io.Reader
	Out, Errors io.Writer
	// Live redraws the table in place: Out is a terminal.
	Live bool
}

const (
	defaultRate     = 1000
	defaultInFlight = 16
	maxInFlight     = 512 // a node takes 1,024 of one session
	chaosWork       = 5 * time.Millisecond
)

// Validate lists everything that is wrong, each by its flag.
func (o *Options) Validate() error {
	var problems []error
	if o.For < 0 {
		problems = append(problems, fmt.Errorf("--for is %s, must be positive", o.For))
	}
	if o.Work < 0 || o.Work > callTimeout {
		problems = append(problems, fmt.Errorf("--work is %s, must be 0 to %s", o.Work, callTimeout))
	}
	if o.Rate < 0 {
		problems = append(problems, fmt.Errorf("--rate is %d, must be 0 (as fast as it goes) or more", o.Rate))
	}
	if o.InFlight < 1 || o.InFlight > maxInFlight {
		problems = append(problems, fmt.Errorf("--in-flight is %d, must be 1 to %d", o.InFlight, maxInFlight))
	}
	return errors.Join(problems...)
}

// repeat reports whether the input starts over when it is through: the story has another end then.
func (o *Options) repeat() bool { return !o.Once && (o.For > 0 || o.Live && !o.JSON) }
