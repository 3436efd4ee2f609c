package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func alarmsCommand() *cobra.Command {
	var f askFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "alarms",
		Short: "Show what is the matter, at all nodes",
		Long: `Shows what operators must hear of, the critical first: what it is about, since when, and which nodes report it. --all has those,
too, that have ended in the last hour. docs/alarms.md says of each kind what to do.`,
		Example: `  twohop alarms
  twohop alarms --all --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			a, err := client.Alarms(cmd.Context(), all)
			if err != nil {
				return err
			}
			warnUnheard(cmd.ErrOrStderr(), a.Nodes, "what it reports is missing here")
			if f.asJSON {
				return output.JSON(cmd.OutOrStdout(), a)
			}
			if len(a.Alarms) == 0 {
				text := "no alarms"
				if slices.ContainsFunc(a.Nodes, func(n adminclient.Heard) bool { return n.Error != "" }) {
					text = "no alarms, as far as nodes were heard"
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
				return err
			}
			heads := []string{"SEVERITY", "KIND", "SUBJECT", "SINCE", "NODES", "WHAT"}
			if all {
				heads = slices.Insert(heads, 4, "ENDED")
			}
			var rows [][]string
			for i := range a.Alarms {
				one := &a.Alarms[i]
				row := []string{one.Severity, one.Kind, subject(one), ago(one.Since), strings.Join(one.Reporters, " "), one.Text}
				if all {
					ended := ""
					if !one.Ended.IsZero() {
						ended = ago(one.Ended)
					}
					row = slices.Insert(row, 4, ended)
				}
				rows = append(rows, row)
			}
			return output.Table(cmd.OutOrStdout(), heads, rows)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that have ended in the last hour")
	return cmd
}

// subject is what an alarm is about, with what tells it apart from others.
func subject(a *adminclient.Alarm) string {
	parts := []string{a.Subject}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		parts = append(parts, name+"="+a.Labels[name])
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// hash is a whole SHA-256.
var hash = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// shortHashes leaves as much of hashes as people compare.
func shortHashes(text string) string { return hash.ReplaceAllStringFunc(text, short) }

// ago writes how long ago a time of another machine's clock was.
func ago(t time.Time) string { return output.Age(max(0, time.Since(t).Seconds())) + " ago" }

func auditCommand() *cobra.Command {
	var f askFlags
	var since, by, action string
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List who has changed what, through one node",
		Long: `Lists the changes that operators have made through the node that is asked, the newest first. A change is recorded before it is made,
and refused if that fails; RESULT is what became of it, where that is recorded, too.`,
		Example: `  twohop audit
  twohop audit --since 1h --author kim@ops1
  twohop audit --limit 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 10_000 {
				return fmt.Errorf("--limit is %d, must be 1 to 10000", limit)
			}
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			a, err := client.Audit(cmd.Context(), map[string]string{"since": since, "author": by, "action": action, "limit": strconv.Itoa(limit)})
			if err != nil {
				return err
			}
			if f.asJSON {
				return output.JSON(cmd.OutOrStdout(), a)
			}
			if len(a.Records) == 0 {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "no such change was made through node %s\n", output.Line(a.Node))
				return err
			}
			var rows [][]string
			for i := range a.Records {
				r := &a.Records[i]
				rows = append(rows, []string{moment(r.At), r.Author, r.Remote, r.Action, r.Target, shortHashes(r.From), shortHashes(r.To), r.Result, r.Reason})
			}
			return output.Table(cmd.OutOrStdout(), []string{"AT", "AUTHOR", "REMOTE", "ACTION", "TARGET", "FROM", "TO", "RESULT", "REASON"}, rows)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "only what was changed since this `time`, as 2026-11-20T10:00:00Z, or 1h for the last hour")
	flags.StringVar(&by, "author", "", "only what this `author` has changed")
	flags.StringVar(&action, "action", "", "only this `action`, as rules.apply")
	flags.IntVar(&limit, "limit", 50, "how `many`, 1 to 10000")
	return cmd
}
