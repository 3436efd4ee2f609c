package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func rulesListCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the rules, with what each has done at all nodes",
		Long: `Lists the rules in force in the order of the document, with what each has done, added up over all nodes: calls that it has refused,
that it would have refused (a rule in shadow refuses none), that were over a limit that only alarms, and that were held. A rule
counts from when it came into the document on, and at each node from its start on.`,
		Example: `  twohop rules ls
  twohop rules ls --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			document, err := client.Rules(cmd.Context(), true)
			if err != nil {
				return err
			}
			if f.asJSON {
				document.Text = "" // it has secrets; `rules get` prints it
				err = output.JSON(cmd.OutOrStdout(), document)
			} else {
				err = printRules(cmd.OutOrStdout(), &document)
			}
			if document.Summed == nil {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "twohop: node %s is of a version that does not sum: this is what rules did there only\n", output.Line(document.Node)) // there is nobody else to tell
			}
			warnUnheard(cmd.ErrOrStderr(), document.Summed, "what its rules did is missing here")
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func printRules(w io.Writer, d *adminclient.Rules) error {
	have := 0
	for i := range d.Nodes {
		if n := &d.Nodes[i]; n.Error == "" && n.Mark == d.Mark && n.Hash == d.Hash {
			have++
		}
	}
	head := fmt.Sprintf("version %s, in force at %d of %s", d.Mark, have, count(len(d.Nodes), "node"))
	if d.Mark == (adminclient.Mark{}) {
		head = "there is no document yet"
	}
	if _, err := fmt.Fprintf(w, "%s, as node %s sees it: %s\n", head, output.Line(d.Node), count(len(d.Rules), "rule")); err != nil || len(d.Rules) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	rows := make([][]string, 0, len(d.Rules))
	for i := range d.Rules {
		r := &d.Rules[i]
		until := ""
		if !r.Until.IsZero() {
			until = moment(r.Until)
		}
		var state []string
		if r.Shadow {
			state = append(state, "shadow")
		}
		if r.Ended {
			state = append(state, "ended")
		}
		rows = append(rows, []string{r.ID, string(r.Kind), r.Scope.String(), until, strings.Join(state, ", "),
			number(r.Refused), number(r.Shadowed), number(r.Alarmed), number(r.Paced)})
	}
	return output.Table(w, []string{"ID", "KIND", "SCOPE", "UNTIL", "STATE", "REFUSED", "WOULD REFUSE", "ALARMED", "PACED"}, rows)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
