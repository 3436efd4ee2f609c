package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

// endFlags say when a switch ends by itself.
type endFlags struct {
	lasts time.Duration
	until string
}

func (f *endFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.lasts, "for", 0, "end it after this `time`, as 10m (default: it lasts until it is taken away)")
	cmd.Flags().StringVar(&f.until, "until", "", "end it at this `time`, as 2026-11-20T10:00:00Z")
}

// into writes the end into a switch.
func (f *endFlags) into(cmd *cobra.Command, s *adminclient.Switch) error {
	lasts, until := cmd.Flags().Changed("for"), f.until != ""
	switch {
	case lasts && until:
		return errors.New("--for and --until both say when it ends: give one of them")
	case lasts && f.lasts < time.Second:
		return fmt.Errorf("--for is %v, must be at least 1s", f.lasts)
	case lasts:
		s.ForSeconds = f.lasts.Seconds()
	case until:
		at, err := readTime("--until", f.until)
		if err != nil {
			return err
		}
		s.Until = &at
	}
	return nil
}

// readTime reads RFC 3339.
func readTime(name, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%s is %q, must be a time as 2026-11-20T10:00:00Z or 2026-11-20T11:00:00+01:00", name, text)
	}
	return at, nil
}

// newSwitch begins a switch of a scope.
func newSwitch(action string, s scope, f *changeFlags) adminclient.Switch {
	return adminclient.Switch{
		Action: action, Module: s.module, Method: s.method, Group: s.group, Caller: s.caller, Author: f.author, Reason: f.reason,
	}
}

func offCommand() *cobra.Command {
	var f changeFlags
	var of scopeFlags
	var ends endFlags
	var share float64
	var fallback, fallbackType string
	cmd := &cobra.Command{
		Use:   "off [MODULE.METHOD | MODULE]",
		Short: "Switch calls off, at every node",
		Long: `Switches a method or a module off, for everybody or for one caller; --share switches off a part of the calls. Calls that are off
end at once as DEGRADED, which is NOT_EXECUTED: they did not run. --fallback is the body that their callers get with it.

It first shows whom it hits: who has called it in the last hour; then it asks, unless there is --yes. Afterwards it says of each
node since when it is in force, and how many server sessions enforce it. ` + "`twohop on`" + ` takes it away. The exit codes are
those of ` + "`twohop rules apply`" + `.`,
		Example: `  twohop off fishtrade.SendRocket --reason 'ticket 4711'
  twohop off fishtrade.SendRocket --caller web --for 10m --reason 'ticket 4711' --yes
  twohop off fishtrade --share 50 --fallback '{"ok":false}' --fallback-type application/json --reason overload
  twohop off fishtrade --dry-run`,
		Args:              atMostOneTarget,
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(share > 0 && share <= 100) {
				return fmt.Errorf("--share is %v, must be more than 0 and at most 100 (percent)", share)
			}
			if fallbackType != "" && fallback == "" {
				return errors.New("--fallback-type needs --fallback")
			}
			client, err := f.begin()
			if err != nil {
				return err
			}
			scope, err := of.read(cmd.Context(), client, args)
			if err != nil {
				return err
			}
			s := newSwitch("off", scope, &f)
			s.Off = &adminclient.SwitchOff{Share: share, Fallback: fallback, FallbackType: fallbackType}
			if err := ends.into(cmd, &s); err != nil {
				return err
			}
			part := ""
			if share < 100 {
				part = strconv.FormatFloat(share, 'f', -1, 64) + " % of "
			}
			return f.turn(cmd, client, s, scope, "Switch off "+part+scope.String()+"?")
		},
	}
	f.add(cmd)
	of.add(cmd)
	ends.add(cmd)
	flags := cmd.Flags()
	flags.Float64Var(&share, "share", 100, "how many of the calls, in `percent`")
	flags.StringVar(&fallback, "fallback", "", "the `body` that callers get in place of an answer")
	flags.StringVar(&fallbackType, "fallback-type", "", "its content `type`, as application/json")
	return cmd
}

func onCommand() *cobra.Command {
	var f changeFlags
	var of scopeFlags
	var id string
	cmd := &cobra.Command{
		Use:   "on [MODULE.METHOD | MODULE]",
		Short: "Take a switch away again, at every node",
		Long: `Takes away a switch that ` + "`twohop off`" + ` has made, with exactly the same names: what is off for one caller goes on again with
that --caller. If there is no such switch, all others are listed. --id takes away one rule by its id, off or limit, whoever has written it.`,
		Example: `  twohop on fishtrade.SendRocket
  twohop on fishtrade.SendRocket --caller web --reason 'ticket 4711 is done' --yes`,
		Args:              atMostOneTarget,
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.reason == "" {
				f.reason = "switched on again"
			}
			client, err := f.begin()
			if err != nil {
				return err
			}
			scope, err := of.read(cmd.Context(), client, args)
			if err != nil && !(id != "" && len(args) == 0) {
				return err
			}
			s := newSwitch("on", scope, &f)
			s.ID = id
			question := "Switch on " + scope.String() + "?"
			if id != "" {
				question = "Take the rule " + output.Line(id) + " away?"
			}
			return f.turn(cmd, client, s, scope, question)
		},
	}
	f.add(cmd)
	of.add(cmd)
	cmd.Flags().StringVar(&id, "id", "", "the rule to take away, by its `id`")
	return cmd
}
