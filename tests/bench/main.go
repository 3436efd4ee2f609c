package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	runtime.LockOSThread() // the processes that this thread starts end with it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ctrl-C ends it at once
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == "role" {
		play, ok := roles[args[1]]
		if !ok {
			return fmt.Errorf("there is no role %q", args[1])
		}
		stopProfile, err := profileMyself(strings.Join(args[1:min(3, len(args))], "-"))
		if err != nil {
			return err
		}
		defer stopProfile()
		return play(ctx, args[2:])
	}
	opts, err := parse(args)
	if err != nil {
		return err
	}
	return run(ctx, opts)
}

// roles are what this program starts itself as.
var roles = map[string]func(ctx context.Context, args []string) error{
	"service": playService,
	"caller":  playCaller,
	"relay":   playRelay,
	"idle":    playIdle,
}

// options say what to measure.
type options struct {
	quick    bool
	json     bool
	only     *regexp.Regexp // of "POINT/CONTENDER", or nil
	rounds   int
	warm     time.Duration
	window   time.Duration
	idle     int    // connections
	profiles string // where profiles go, or ""
	twohop   string // programs
	nats     string
}

func parse(args []string) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.BoolVar(&o.quick, "quick", false, "one point: 128 B, 64 in flight, 1 connection; at most a minute")
	flags.BoolVar(&o.json, "json", false, "print one JSON object per line instead of tables")
	flags.StringVar(&only, "only", "", "measure only what matches this `regexp`: POINT/CONTENDER, as in 128B-64x1/twohop-1; or idle/")
	flags.IntVar(&o.rounds, "rounds", 0, "measure each so `many` times (default 5, quick 6)")
	flags.DurationVar(&o.window, "window", 0, "how `long` one measurement is (default 1s, quick 500ms)")
	flags.DurationVar(&o.warm, "warm", 200*time.Millisecond, "how `long` a caller runs before it is measured")
	flags.IntVar(&o.idle, "idle", 10_000, "measure memory with so `many` idle connections; 0: do not")
	flags.StringVar(&o.profiles, "profiles", "", "write processor profiles of nodes, services and callers of twohop into this `folder`; slows what is measured")
	flags.StringVar(&o.twohop, "twohop", "twohop", "the twohop `program`")
	flags.StringVar(&o.nats, "nats-server", "nats-server", "the nats-server `program`")
	_ = flags.Parse(args) // it exits
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; see --help", flags.Arg(0))
	}
	switch {
	case o.rounds == 0 && o.quick:
		o.rounds = 6
	case o.rounds == 0:
		o.rounds = 5
	}
	switch {
	case o.window == 0 && o.quick:
		o.window = 500 * time.Millisecond
	case o.window == 0:
		o.window = time.Second
	}
	if o.rounds < 1 || o.window < 10*time.Millisecond || o.warm < 0 || o.idle < 0 {
		return o, fmt.Errorf("--rounds wants at least 1, --window at least 10ms, --warm and --idle no less than 0")
	}
	if only != "" {
		var err error
		if o.only, err = regexp.Compile(only); err != nil {
			return o, fmt.Errorf("--only: %w", err)
		}
	}
	return o, nil
}

// wants reports whether something is to be measured.
func (o *options) wants(point, contender string) bool {
	return o.only == nil || o.only.MatchString(point+"/"+contender)
}
