package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func rulesApplyCommand() *cobra.Command {
	var f changeFlags
	var from string
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Put a document of rules in force, at every node",
		Long: `Puts the document in FILE in force at every node, in place of the one that is there; - is stdin. It first shows what would change
and asks; --yes does not ask. If somebody else has changed the rules since you were shown that, nothing is done, and you see
who has changed what.

So that nothing is lost that was made since you began to edit, the document is made from one version only: that of its first line
'# twohop rules version 1.7', which rules get writes and which is not sent, or that of --from. If another one is in force, nothing
is done. Without either it is made from the one that is in force.

Afterwards it says of each node since when the version is in force there, and how many server sessions enforce it.

Exit codes:
  0   it is in force at every node, and every server session enforces it
  1   the document is wrong, there never was its version, or you said no; nothing was changed
  20  somebody else has changed the rules meanwhile; nothing was changed
  21  it is made, and a node or a server does not have it yet
  22  the node's answer was lost; the change may be made or not`,
		Example: `  twohop rules apply rules.yaml --reason 'ticket 4711'
  twohop rules apply rules.yaml --reason 'ticket 4711' --from 1.7 --yes
  twohop rules apply rules.yaml --dry-run`,
		Args: needs(1, "a file, as: twohop rules apply rules.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && !f.yes && !f.dryRun {
				return errors.New("the document comes from stdin, so there is nobody to ask: --yes makes the change without asking, --dry-run shows it")
			}
			client, err := f.begin()
			if err != nil {
				return err
			}
			return apply(cmd, client, &f, args[0], from)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the `version` that the document was made from, as 1.7 (default: that of its first line, or the one that is there)")
	_ = cmd.RegisterFlagCompletionFunc("from", completeVersion)
	return cmd
}

func apply(cmd *cobra.Command, client *adminclient.Client, f *changeFlags, path, from string) error {
	file, err := readDocument(path, cmd.InOrStdin())
	if err != nil {
		return err
	}
	if from != "" {
		mark, err := adminclient.ParseMark(from)
		if err != nil {
			return err
		}
		file.from = &mark
	}
	judged, err := client.JudgeRules(cmd.Context(), file.text)
	file.judged(&judged)
	switch {
	case err != nil:
		return err
	case !judged.Valid:
		return invalidRules(cmd.ErrOrStderr(), file.place, judged.Problems)
	}
	if err := printChanges(f.preview(cmd), judged.Changes); err != nil {
		return err
	}
	warn(cmd.ErrOrStderr(), file.place, judged.Warnings)
	base := judged.Mark
	if file.from != nil && *file.from != base { // nobody needs to be asked then
		base = *file.from
		if err := client.MayPutRules(cmd.Context(), file.text, base, f.author); err != nil {
			return refused(cmd, file, err)
		}
	}
	if f.dryRun {
		return f.wouldChange(cmd, judged, len(judged.Changes))
	}
	question := fmt.Sprintf("Make %s to the rules, in place of version %s?", count(len(judged.Changes), "change"), judged.Mark)
	if len(judged.Changes) == 0 {
		question = fmt.Sprintf("The rules stay as they are in version %s, the text may not. Put it in force?", judged.Mark)
	}
	if err := f.confirm(cmd, question); err != nil {
		return err
	}
	applied, err := client.PutRules(cmd.Context(), file.text, &base, f.author, f.reason)
	if err != nil {
		return refused(cmd, file, lost(err))
	}
	return f.finish(cmd, applied, &applied)
}

// wouldChange ends a dry run.
func (f *changeFlags) wouldChange(cmd *cobra.Command, v any, changes int) error {
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), v)
	}
	text := count(changes, "change") + " would be made; nothing was changed"
	if changes == 0 {
		text = "no rule would change"
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), "\n"+text)
	return err
}

func rulesRollbackCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "rollback VERSION",
		Short: "Put an older version of the rules in force again",
		Long: `Makes a new version with the text of an older one. Rules of it that have ended since are left out. It first shows what would
change and asks; --yes does not ask. If somebody else has changed the rules since you were shown that, nothing is done, and you see
who has changed what. The exit codes are those of apply.`,
		Example: `  twohop rules rollback 1.6 --reason 'the limit was wrong'
  twohop rules rollback 1.6 --dry-run`,
		Args: needs(1, "a version, as: twohop rules rollback 1.6"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeVersion(cmd, args, text)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := adminclient.ParseMark(args[0])
			if err != nil {
				return err
			}
			client, err := f.begin()
			if err != nil {
				return err
			}
			would, err := client.RollBack(cmd.Context(), to, nil, f.author, f.reason, true)
			if err != nil {
				return refused(cmd, nil, err)
			}
			if err := printChanges(f.preview(cmd), would.Changes); err != nil {
				return err
			}
			warn(cmd.ErrOrStderr(), "", would.Warnings)
			if f.dryRun {
				return f.wouldChange(cmd, would, len(would.Changes))
			}
			if err := f.confirm(cmd, fmt.Sprintf("Go back to version %s, which is %s?", to, count(len(would.Changes), "change"))); err != nil {
				return err
			}
			applied, err := client.RollBack(cmd.Context(), to, would.From, f.author, f.reason, false)
			if err != nil {
				return refused(cmd, nil, lost(err))
			}
			return f.finish(cmd, applied, &applied)
		},
	}
	f.add(cmd)
	return cmd
}

// completeVersion offers the versions that are kept.
func completeVersion(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	admin, err := cmd.Flags().GetString("admin")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := adminclient.New(admin)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	within(cmd, func(ctx context.Context) {
		versions, err := client.RulesHistory(ctx, 20)
		if err != nil {
			return
		}
		for i := range versions {
			v := &versions[i]
			names = append(names, cobra.CompletionWithDesc(v.Mark.String(), output.Line(v.Author+": "+v.Reason)))
		}
	})
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
