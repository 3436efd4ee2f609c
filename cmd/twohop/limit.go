package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
	"github.com/twohop/twohop/governance/rules"
)

// limitFlags say how calls are limited.
type limitFlags struct {
	burst      float64
	per        string
	eachCaller bool
	pace       time.Duration
	alarmOnly  bool
}

// limitPrefix begins the ids of limits that have no other one. --remove takes those away by their names.
const limitPrefix = "limit:"

// per is what has a limit of its own.
var per = []string{rules.PerCluster, rules.PerNode, rules.PerInstance}

func limitCommand() *cobra.Command {
	var f changeFlags
	var of scopeFlags
	var ends endFlags
	var how limitFlags
	var remove bool
	var id string
	cmd := &cobra.Command{
		Use:   "limit [MODULE.METHOD | MODULE] RATE",
		Short: "Limit how often calls may be made, at every node",
		Long: `Limits the calls to a method or a module, for everybody or for one caller, to RATE: 1000/s, 90/m, 20/h. Calls over it end at once
as RATE_LIMITED, which is NOT_EXECUTED; with --pace they are held for at most that time instead, and with --alarm-only they
pass, and are counted. The limit is of the whole mesh, unless --per says that each node or each instance has one.

It first shows whom it hits: who has called it in the last hour; then it asks, unless there is --yes. --remove takes the limit with
exactly these names away, or with --id the one of that id, whoever has written it. The exit codes are those of ` + "`twohop rules apply`" + `.`,
		Example: `  twohop limit fishtrade.SendRocket 1000/s --reason 'ticket 4711'
  twohop limit fishtrade 50/s --each-caller --burst 10 --pace 100ms --for 10m --reason 'ticket 4711' --yes
  twohop limit --caller web 200/s --per node --alarm-only --reason 'ticket 4711'
  twohop limit --remove fishtrade.SendRocket --reason 'ticket 4711 is done'`,
		Args: func(_ *cobra.Command, args []string) error {
			most := 2
			if remove {
				most = 1
			}
			if len(args) > most {
				return fmt.Errorf("%q is too much: a method or module, and a rate, as: twohop limit fishtrade.SendRocket 1000/s", args[most])
			}
			return nil
		},
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, target, err := how.read(cmd, args, remove)
			if err != nil {
				return err
			}
			if remove && f.reason == "" {
				f.reason = "the limit is taken away"
			}
			client, err := f.begin()
			if err != nil {
				return err
			}
			scope, err := of.read(cmd.Context(), client, target)
			if err != nil && !(remove && id != "" && len(target) == 0) {
				return err
			}
			if remove {
				if id, err = limitOf(cmd, client, scope, id); err != nil {
					return err
				}
				s := newSwitch("on", scope, &f)
				s.ID = id
				return f.turn(cmd, client, s, scope, "Take the limit "+output.Line(id)+" away?")
			}
			s := newSwitch("limit", scope, &f)
			s.Limit, s.ID = limit, id
			if err := ends.into(cmd, &s); err != nil {
				return err
			}
			return f.turn(cmd, client, s, scope, fmt.Sprintf("Limit %s to %s?", scope, args[len(args)-1]))
		},
	}
	f.add(cmd)
	of.add(cmd)
	ends.add(cmd)
	flags := cmd.Flags()
	flags.Float64Var(&how.burst, "burst", 0, "how `many` calls may come at once (default: a tenth of a second's, at least 1)")
	flags.StringVar(&how.per, "per", rules.PerCluster, "what has a limit of its own: `cluster` (all nodes together), node or instance")
	flags.BoolVar(&how.eachCaller, "each-caller", false, "each calling module has a limit of its own")
	flags.DurationVar(&how.pace, "pace", 0, "hold calls over the limit, for at most this `time`, as 100ms")
	flags.BoolVar(&how.alarmOnly, "alarm-only", false, "count calls over the limit, and let them pass")
	flags.BoolVar(&remove, "remove", false, "take the limit away")
	flags.StringVar(&id, "id", "", "the rule, by its `id` (default: one is made of the names)")
	_ = cmd.RegisterFlagCompletionFunc("per", cobra.FixedCompletions(per, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// read makes a limit of the flags and the last argument; what is before it is the target. A limit that is removed has none.
func (f *limitFlags) read(cmd *cobra.Command, args []string, remove bool) (limit *adminclient.Limit, target []string, err error) {
	if remove {
		for _, flag := range []string{"burst", "per", "each-caller", "pace", "alarm-only", "for", "until"} {
			if cmd.Flags().Changed(flag) {
				return nil, nil, fmt.Errorf("--%s says how to limit, and --remove takes the limit away", flag)
			}
		}
		return nil, args, nil
	}
	if len(args) == 0 {
		return nil, nil, errors.New("the limit is missing, as in: twohop limit fishtrade.SendRocket 1000/s")
	}
	limit = &adminclient.Limit{Per: f.per}
	if limit.PerSecond, err = readRate(args[len(args)-1]); err != nil {
		return nil, nil, err
	}
	switch {
	case !slices.Contains(per, f.per):
		return nil, nil, fmt.Errorf("--per is %q, must be %s", f.per, strings.Join(per, ", "))
	case cmd.Flags().Changed("burst") && !(f.burst >= 1):
		return nil, nil, fmt.Errorf("--burst is %v, must be at least 1", f.burst)
	case cmd.Flags().Changed("pace") && f.alarmOnly:
		return nil, nil, errors.New("--pace and --alarm-only both say what becomes of calls over the limit: give one of them")
	case cmd.Flags().Changed("pace") && f.pace < time.Millisecond:
		return nil, nil, fmt.Errorf("--pace is %v, must be at least 1ms", f.pace)
	case f.per == rules.PerInstance && (f.eachCaller || f.pace > 0 || f.alarmOnly):
		return nil, nil, errors.New("--per instance is enforced by the server SDK, which only rejects: not with --each-caller, --pace or --alarm-only")
	}
	limit.Burst = f.burst
	if f.eachCaller {
		limit.Each = rules.EachCaller
	}
	switch {
	case f.pace > 0:
		limit.Over, limit.MaxWaitMS = rules.OverPace, float64(f.pace)/float64(time.Millisecond)
	case f.alarmOnly:
		limit.Over = rules.OverAlarm
	}
	return limit, args[:len(args)-1], nil
}

// readRate reads a rate, as 1000/s, into calls per second.
func readRate(text string) (float64, error) {
	wrong := fmt.Errorf("the limit is %q, must be a number of calls per time, as 1000/s, 90/m or 20/h", text)
	number, unit, ok := strings.Cut(text, "/")
	if !ok {
		return 0, wrong
	}
	calls, err := strconv.ParseFloat(number, 64)
	seconds, known := map[string]float64{"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}[unit]
	if err != nil || !known || math.IsNaN(calls) || math.IsInf(calls, 0) {
		return 0, wrong
	}
	if calls <= 0 {
		return 0, fmt.Errorf("the limit is %q, must be more than 0: `twohop off` lets no call pass", text)
	}
	return calls / seconds, nil
}

// limitOf finds the limit that is called so, or without an id the one of exactly this scope.
func limitOf(cmd *cobra.Command, client *adminclient.Client, of scope, called string) (id string, err error) {
	document, err := client.Rules(cmd.Context(), false)
	if err != nil {
		return "", err
	}
	var all, found, byHand []string
	if document.Text != "" {
		d, err := rules.Parse([]byte(document.Text))
		if err != nil {
			return "", fmt.Errorf("the rules of node %s cannot be read here, is it of another version? %w", output.Line(document.Node), err)
		}
		for i := range d.Rules {
			r := &d.Rules[i]
			if r.Rate == nil {
				continue
			}
			its := scope{r.Module, r.Method, r.Group, r.Caller}
			switch {
			case called != "":
				if r.ID == called && (of == scope{} || its == of) {
					found = append(found, r.ID)
				}
			case its == of && strings.HasPrefix(r.ID, limitPrefix):
				found = append(found, r.ID)
			case its == of:
				byHand = append(byHand, r.ID)
			}
			all = append(all, fmt.Sprintf("  %s: %s/s on %s%s", output.Line(r.ID), strconv.FormatFloat(r.Rate.PerSecond, 'f', -1, 64), its, ending(r.Until)))
		}
	}
	on := "limit on " + of.String()
	if called != "" {
		on = "limit " + output.Line(called)
		if of != (scope{}) {
			on += " on " + of.String()
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%d limits are on %s: say which, with --id: %s", len(found), of, strings.Join(found, ", "))
	case len(byHand) > 0:
		return "", fmt.Errorf("the limit on %s has an id of its own: take it away with --id: %s", of, output.Line(strings.Join(byHand, ", ")))
	}
	if len(all) == 0 {
		return "", fmt.Errorf("there is no %s: there are none in the rules", on)
	}
	for _, line := range all {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), line) // there is nobody else to tell
	}
	return "", fmt.Errorf("there is no %s; above are the limits that there are", on)
}
