package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
	"github.com/twohop/twohop/governance/rules"
)

// about keeps the warnings that name something of the scope: a node warns of the whole document.
func (s scope) about(warnings []rules.Problem) (own []rules.Problem) {
	for _, p := range warnings {
		for _, name := range []string{s.module, s.method, s.caller} {
			if name != "" && slices.Contains(strings.FieldsFunc(p.Message, func(r rune) bool { return strings.ContainsRune(" :;?", r) }), name) {
				own = append(own, p)
				break
			}
		}
	}
	return own
}

// onlyOff keeps a switch that goes on from taking limits away, which are switches to a node, too: it names the one rule that goes
// then. would is what the switch would do.
func onlyOff(s *adminclient.Switch, would *adminclient.Switched) error {
	var offs, limits []string
	for i := range would.Changes {
		switch c := &would.Changes[i]; {
		case c.Op != rules.Removed || !slices.Contains(would.Removed, c.ID):
		case c.Kind == rules.KindOff:
			offs = append(offs, c.ID)
		default:
			limits = append(limits, c.ID)
		}
	}
	switch {
	case s.Action != "on" || s.ID != "" || len(limits) == 0:
		return nil
	case len(offs) == 0:
		return fmt.Errorf("it is limited, not off: `twohop limit --remove` takes %s away", output.Line(strings.Join(limits, ", ")))
	case len(offs) > 1:
		return fmt.Errorf("%d switches have these names, and limits, too: say which, with --id: %s", len(offs), output.Line(strings.Join(offs, ", ")))
	}
	s.ID = offs[0]
	return nil
}

// preview asks what a switch would do.
func preview(cmd *cobra.Command, client *adminclient.Client, s *adminclient.Switch) (would adminclient.Switched, err error) {
	s.DryRun = true
	would, err = client.Switch(cmd.Context(), *s, nil)
	if err != nil {
		return would, noSwitch(cmd, refused(cmd, nil, err))
	}
	asked := s.ID
	if err := onlyOff(s, &would); err != nil || s.ID == asked {
		return would, err
	}
	would, err = client.Switch(cmd.Context(), *s, nil)
	return would, noSwitch(cmd, refused(cmd, nil, err))
}

// turn shows what a switch would do and whom it hits, asks, and does it.
func (f *changeFlags) turn(cmd *cobra.Command, client *adminclient.Client, s adminclient.Switch, of scope, question string) error {
	would, err := preview(cmd, client, &s)
	if err != nil {
		return err
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
	warn(cmd.ErrOrStderr(), "", of.about(would.Warnings))
	if f.dryRun {
		return f.wouldChange(cmd, would, len(would.Changes))
	}
	if err := f.confirm(cmd, question); err != nil {
		return err
	}
	s.DryRun = false
	done, err := client.Switch(cmd.Context(), s, would.From) // what was shown is true of these rules only
	if err != nil {
		return noSwitch(cmd, refused(cmd, nil, lost(err)))
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
	r, is := errors.AsType[*adminclient.RefusalError](err)
	if !is {
		return err
	}
	switches, is := r.Switches()
	if !is {
		return err
	}
	if len(switches) == 0 {
		return errors.New("nothing is off or limited: there is no switch in the rules")
	}
	w := cmd.ErrOrStderr()
	for i := range switches {
		s := &switches[i]
		_, _ = fmt.Fprintf(w, "  %s: %s %s%s\n", output.Line(s.ID), output.Line(s.Kind), // there is nobody else to tell
			scope{s.Module, s.Method, s.Group, s.Caller}, ending(s.Until))
	}
	return fmt.Errorf("%s; above are the switches that there are, and each is taken away with --id, and what is off with exactly its own names, too", strings.TrimSuffix(r.Message, "."))
}

// ending says when a switch ends.
func ending(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return ", until " + moment(until)
}
