package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
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
			client, err := f.begin(cmd)
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
		Long: `Takes away what ` + "`twohop off`" + ` has switched off, with exactly the same names: what is off for one caller is switched on with that
--caller. If there is no such switch, those that there are are listed. --id takes away one rule by its id.`,
		Example: `  twohop on fishtrade.SendRocket
  twohop on fishtrade.SendRocket --caller web --reason 'ticket 4711 is done' --yes`,
		Args:              atMostOneTarget,
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.reason == "" {
				f.reason = "switched on again"
			}
			client, err := f.begin(cmd)
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

// turn shows what a switch would do and whom it hits, asks, and does it.
func (f *changeFlags) turn(cmd *cobra.Command, client *adminclient.Client, s adminclient.Switch, of scope, question string) error {
	s.DryRun = true
	would, err := client.Switch(cmd.Context(), s)
	if err != nil {
		return noSwitch(cmd, refused(cmd, "", err))
	}
	w := f.preview(cmd)
	if err := printChanges(w, would.Changes); err != nil {
		return err
	}
	if s.Action != "on" {
		if err := printHits(w, of, &would); err != nil {
			return err
		}
	}
	warn(cmd.ErrOrStderr(), "", would.Warnings)
	if f.dryRun {
		return f.wouldChange(cmd, would, len(would.Changes), would.Mark)
	}
	if err := f.confirm(cmd, question); err != nil {
		return err
	}
	s.DryRun = false
	done, err := client.Switch(cmd.Context(), s)
	if err != nil {
		return noSwitch(cmd, refused(cmd, "", lost(err)))
	}
	return f.finish(cmd, done, &done.Applied)
}

// printHits says whom a switch hits.
func printHits(w io.Writer, of scope, s *adminclient.Switched) error {
	if s.HitsError != "" {
		if _, err := fmt.Fprintf(w, "\nwhom it hits is not known completely: %s\n", output.Line(s.HitsError)); err != nil {
			return err
		}
	}
	if len(s.Hits) == 0 {
		if s.HitsError != "" {
			return nil
		}
		_, err := fmt.Fprintf(w, "\nit hits nobody who has called in the last hour (%s)\n", of)
		return err
	}
	if _, err := fmt.Fprintf(w, "\nit hits, by the calls of the last hour (%s):\n", of); err != nil {
		return err
	}
	return printCallers(w, s.Hits)
}

func printCallers(w io.Writer, callers []adminclient.CallerRate) error {
	var rows [][]string
	for i := range callers {
		c := &callers[i]
		last := ""
		if !c.Last.IsZero() {
			last = c.Last.UTC().Format("15:04 UTC")
		}
		rows = append(rows, []string{c.Caller, strconv.FormatUint(c.Calls, 10), perSecond(c.PerSecond), strconv.FormatUint(c.PeakMinute, 10), last})
	}
	return output.Table(w, []string{"CALLER", "CALLS", "MEAN/S", "PEAK/MIN", "LAST"}, rows)
}

// noSwitch lists the switches that there are, if there is none such.
func noSwitch(cmd *cobra.Command, err error) error {
	r, is := errors.AsType[*adminclient.Refusal](err)
	if !is {
		return err
	}
	switches, is := r.Switches()
	if !is {
		return err
	}
	if len(switches) == 0 {
		return errors.New("nothing is off: there is no switch in the rules")
	}
	w := cmd.ErrOrStderr()
	for i := range switches {
		s := &switches[i]
		_, _ = fmt.Fprintf(w, "  %s: %s %s%s\n", output.Line(s.ID), output.Line(s.Kind), // there is nobody else to tell
			scope{s.Module, s.Method, s.Group, s.Caller}, ending(s.Until))
	}
	return fmt.Errorf("%s; above are the switches that there are, and each is taken away with exactly its own names, or with --id", strings.TrimSuffix(r.Message, "."))
}

// ending says when a switch ends.
func ending(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return ", until " + moment(until)
}
