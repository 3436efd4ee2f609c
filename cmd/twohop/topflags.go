package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

// topFlags say what top shows.
type topFlags struct {
	admin          string
	interval       time.Duration
	once, asJSON   bool
	by, sort       string
	limit          int
	module         string
	method         string
	caller         string
	callers        string
	over           time.Duration
	from, to, step string
}

const byNodeLoad = "node-load"

var (
	groupings = []string{"method", "module", "caller", "caller-method", byNodeLoad}
	orders    = []string{"rate", "entered", "in_flight", "failures", "time", "p99", "name"}
)

func (f *topFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.admin, "admin", defaultAdmin, "where the operators of one of the nodes connect, `host:port`")
	flags.DurationVar(&f.interval, "interval", 2*time.Second, "the `time` between two readings")
	flags.BoolVar(&f.once, "once", false, "print one table, and end; with --by node-load after one interval")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, one object a line; with --once indented")
	flags.StringVar(&f.by, "by", "method", "what has a line: `"+groupings[0]+"`, "+strings.Join(groupings[1:], ", "))
	flags.StringVar(&f.sort, "sort", "rate", "what comes first: `"+orders[0]+"`, "+strings.Join(orders[1:], ", "))
	flags.IntVar(&f.limit, "limit", 0, "at most so `many` lines (default: what the terminal has room for, else 100)")
	flags.StringVar(&f.module, "module", "", "only calls to this `module`")
	flags.StringVar(&f.method, "method", "", "only calls to this `method`; with --module")
	flags.StringVar(&f.caller, "caller", "", "only calls of this `module`")
	flags.StringVar(&f.callers, "callers", "", "show who calls this `method` or module")
	flags.DurationVar(&f.over, "over", time.Hour, "with --callers, over which `time` until now")
	flags.StringVar(&f.from, "from", "", "show what was from this `time` on, as 2026-11-20T10:00:00Z, or 2h for two hours ago")
	flags.StringVar(&f.to, "to", "", "with --from, until this `time` (default: now)")
	flags.StringVar(&f.step, "step", "", "with --from, a line for each such `time`, as 10m")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(groupings, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(orders, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("callers", func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return completeScope(cmd, nil, text)
	})
	for _, flag := range []string{"module", "caller"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeModules(cmd), cobra.ShellCompDirectiveNoFileComp
		})
	}
}

// check refuses what cannot be shown.
func (f *topFlags) check(cmd *cobra.Command) error {
	set := cmd.Flags().Changed
	f.by = strings.ReplaceAll(f.by, "_", "-") // as HTTP has it
	switch {
	case f.interval < minInterval:
		return fmt.Errorf("--interval is %v, must be at least %v", f.interval, minInterval)
	case !slices.Contains(groupings, f.by):
		return fmt.Errorf("--by is %q, must be %s", f.by, strings.Join(groupings, ", "))
	case !slices.Contains(orders, f.sort):
		return fmt.Errorf("--sort is %q, must be %s", f.sort, strings.Join(orders, ", "))
	case set("limit") && (f.limit < 1 || f.limit > 10_000):
		return fmt.Errorf("--limit is %d, must be 1 to 10000", f.limit)
	case f.method != "" && f.module == "":
		return errors.New("--method needs --module")
	case f.callers != "" && f.from != "":
		return errors.New("--callers is about the time until now, without --from: --by caller with --from shows who has called then")
	case (f.to != "" || f.step != "") && f.from == "":
		return errors.New("--to and --step need --from")
	case f.by == byNodeLoad && (f.from != "" || set("sort") || f.module != "" || f.caller != ""):
		return errors.New("--by node-load shows what nodes have now, all calls together: without --from, --sort, --module, --method, --caller")
	case set("over") && f.callers == "":
		return errors.New("--over needs --callers")
	case f.over < time.Minute || f.over > time.Hour:
		return fmt.Errorf("--over is %v, must be 1m to 1h: --by caller with --from shows longer times", f.over)
	}
	return nil
}

// question is what a node is asked for statistics.
func (f *topFlags) question(limit int) map[string]string {
	return map[string]string{
		"by": strings.ReplaceAll(f.by, "-", "_"), "sort": f.sort, "limit": fmt.Sprint(limit), "module": f.module, "method": f.method, "caller": f.caller,
	}
}

// source returns what the flags say to read.
func (f *topFlags) source(ctx context.Context, client *adminclient.Client, t *top) source {
	v := &switching{flags: *f, ctx: ctx, client: client, rows: func() int { return 0 }}
	if t.live {
		v.rows = func() int { return terminalRows(t.out) }
	}
	return v
}

// switching is a source that keys change.
type switching struct {
	// Static.
	ctx    context.Context //nolint:containedctx // it is that of one command
	client *adminclient.Client
	rows   func() int // of the terminal; 0: there is none

	flags topFlags
	load  *adminclient.Loads // the reading before, by node load
}

// What a screen has besides rows: two lines above, the heads, two below.
const aroundRows = 6

func (v *switching) read() (page, error) {
	if v.flags.by == byNodeLoad {
		return v.readLoad()
	}
	limit := v.flags.limit
	if limit == 0 {
		limit = 100
		if n := v.rows(); n > 0 {
			limit = max(n-aroundRows, 1)
		}
	}
	s, err := v.client.Stats(v.ctx, v.flags.question(limit))
	if err != nil {
		return nil, noStats(err)
	}
	return &statsPage{Stats: s, by: v.flags.by, sort: v.flags.sort, read: time.Now()}, nil
}

func (v *switching) readLoad() (page, error) {
	now, err := v.client.Loads(v.ctx, true)
	if err != nil {
		return nil, err
	}
	before := v.load
	v.load = &now
	if before == nil {
		return nil, nil //nolint:nilnil // rates need two readings
	}
	r := rates(*before, now)
	return &r, nil
}

func (v *switching) key(key byte) bool {
	by, step := "", 0
	switch key {
	case 'm':
		by = "method"
	case 'o':
		by = "module"
	case 'c':
		by = "caller"
	case 'n':
		by = byNodeLoad
	case '<', ',':
		step = len(orders) - 1
	case '>', '.':
		step = 1
	}
	switch {
	case by != "" && by != v.flags.by:
		v.flags.by, v.load = by, nil
		return true
	case step != 0 && v.flags.by != byNodeLoad:
		v.flags.sort = orders[(slices.Index(orders, v.flags.sort)+step)%len(orders)]
		return true
	}
	return false
}

// noStats says what to do about a node that has no statistics.
func noStats(err error) error {
	if r, is := errors.AsType[*adminclient.RefusalError](err); is && r.Older() {
		return fmt.Errorf("%w; `twohop top --by node-load` shows what it has", err)
	}
	return err
}
