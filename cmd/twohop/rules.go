package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show, check and change the rules that calls follow",
		Long: `The rules of a mesh are one document: limits, switches, address lists, timeouts. Every node follows the same version of it, and
a change through any node is in force at all of them within a second. Each version has an author and a reason, and stays in the
history.

A version is written epoch.version, as 1.7. To change the document by hand: rules get > rules.yaml, edit it, and rules apply
rules.yaml --reason '...'. The first line of that file has its version, so that nothing is lost that others change meanwhile.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rulesListCommand(), rulesGetCommand(), rulesValidateCommand(), rulesDiffCommand(), rulesApplyCommand(), rulesHistoryCommand(),
		rulesRollbackCommand(), rulesStatusCommand(), rulesExplainCommand(), rulesRefusedCommand())
	return cmd
}

// askFlags are the flags of commands that ask a node.
type askFlags struct {
	admin  string
	asJSON bool
}

func (f *askFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.admin, "admin", defaultAdmin, "where the operators of one of the nodes connect, `host:port`")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

func rulesGetCommand() *cobra.Command {
	var f askFlags
	var version string
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Print the document of rules",
		Long: `Prints the document in force, or an older version, as it was written, with the secrets of its rules, below a first line
'# twohop rules version 1.7'. Edit the rest and apply it: by that line rules apply knows which version it was made from, and refuses it
if another one is in force then. Who has made the version, when and why stands on stderr.`,
		Example: `  twohop rules get > rules.yaml
  twohop rules get --version 1.7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			v, err := readVersion(cmd, client, version)
			if err != nil {
				return err
			}
			if f.asJSON {
				return output.JSON(cmd.OutOrStdout(), v)
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n%s", markLine, v.Mark, v.Text); err != nil {
				return err
			}
			if v.Mark == (adminclient.Mark{}) {
				_, err = fmt.Fprintln(cmd.ErrOrStderr(), "# there is no document yet; configs/rules.yaml is a sample")
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "# version %s by %s at %s: %s\n", v.Mark, output.Line(v.Author), moment(v.At), output.Line(orNone(v.Reason)))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&version, "version", "", "an older `version`, as 1.7")
	_ = cmd.RegisterFlagCompletionFunc("version", completeVersion)
	return cmd
}

// readVersion reads a version of the document, the one in force if which is empty.
func readVersion(cmd *cobra.Command, client *adminclient.Client, which string) (v adminclient.Version, err error) {
	if which == "" {
		document, err := client.Rules(cmd.Context(), false)
		return document.Version, err
	}
	mark, err := adminclient.ParseMark(which)
	if err != nil {
		return v, err
	}
	return client.RulesVersion(cmd.Context(), mark)
}

func rulesHistoryCommand() *cobra.Command {
	var f askFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the versions of the rules, with author and reason",
		Long:  `Lists the versions of the document, the newest first: who has made each, when, and why. The newest 1,000 are kept.`,
		Example: `  twohop rules history
  twohop rules history --limit 5 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return fmt.Errorf("--limit is %d, must be 1 to 1000", limit)
			}
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			versions, err := client.RulesHistory(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if f.asJSON {
				return output.JSON(cmd.OutOrStdout(), versions)
			}
			if len(versions) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "there is no version yet")
				return err
			}
			var rows [][]string
			for i := range versions {
				v := &versions[i]
				rows = append(rows, []string{v.Mark.String(), moment(v.At), v.Author, short(v.Hash), v.Reason})
			}
			return output.Table(cmd.OutOrStdout(), []string{"VERSION", "AT", "AUTHOR", "HASH", "REASON"}, rows)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "how `many`, 1 to 1000")
	return cmd
}

func rulesStatusCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which version of the rules is in force at every node",
		Long: `Shows which version each node follows, since when, and how many of its server sessions have said that they enforce it; and what
is wrong with how rules come to the node that is asked. The exit code is 21 if a node or a server does not have the version.`,
		Example: `  twohop rules status
  twohop rules status --json`,
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
				err = printStatus(cmd.OutOrStdout(), &document)
			}
			if err == nil && !document.Converged {
				err = &exitError{code: exitNotAll}
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func printStatus(w io.Writer, d *adminclient.Rules) error {
	converged := "in force everywhere"
	if !d.Converged {
		converged = "NOT in force everywhere"
	}
	head := fmt.Sprintf("version %s by %s at %s: %s", d.Mark, output.Line(d.Author), moment(d.At), output.Line(orNone(d.Reason)))
	if d.Mark == (adminclient.Mark{}) {
		head, converged = "there is no document yet", "no node has one"
		if !d.Converged {
			converged = "not every node says so"
		}
	}
	if _, err := fmt.Fprintf(w, "%s\n%s, as node %s sees it\n\n", head, converged, output.Line(d.Node)); err != nil {
		return err
	}
	var rows [][]string
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if n.Error != "" {
			rows = append(rows, []string{n.Node, "not heard", "", "", "", "", "", n.Error})
			continue
		}
		since := ""
		if !n.Since.IsZero() {
			since = output.Age(max(0, time.Since(n.Since).Seconds()))
		}
		rows = append(rows, []string{n.Node, n.Mark.String(), short(n.Hash), strconv.Itoa(n.Rules), since,
			fmt.Sprintf("%d/%d", n.Enforcing, n.Servers), n.Source, ""})
	}
	if err := output.Table(w, []string{"NODE", "VERSION", "HASH", "RULES", "SINCE", "SERVERS", "SOURCE", "WHY"}, rows); err != nil {
		return err
	}
	for _, t := range d.Troubles {
		if _, err := fmt.Fprintf(w, "\n%s since %s: %s\n", output.Line(t.Kind), moment(t.Since), output.Line(t.Cause)); err != nil {
			return err
		}
	}
	return nil
}

// short is as much of a hash as people compare.
func short(hash string) string { return hash[:min(len(hash), 12)] }

// moment writes a time of another machine's clock.
func moment(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
