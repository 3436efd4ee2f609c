package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
	"github.com/twohop/twohop/governance/rules"
)

func rulesValidateCommand() *cobra.Command {
	var f askFlags
	var local bool
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Say what is wrong with a document of rules",
		Long: `Lists everything that is wrong with the document in FILE, as FILE:LINE:COLUMN: what; - is stdin. A node is asked, so that names
of modules and methods that nobody has registered are warned of; with --local, or if no node answers, the document is judged
here, without the names. Nothing is changed. The exit code is 1 if the document is wrong. A first line
'# twohop rules version 1.7', as rules get writes it, is no part of the document.`,
		Example: `  twohop rules validate rules.yaml
  twohop rules validate rules.yaml --local`,
		Args: needs(1, "a file, as: twohop rules validate rules.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readDocument(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			judged, err := judge(cmd, &f, local, file.text)
			if err != nil {
				return err
			}
			file.judged(&judged)
			if f.asJSON {
				err = output.JSON(cmd.OutOrStdout(), judged)
			} else {
				err = printJudged(cmd.OutOrStdout(), file.place, &judged)
			}
			if err == nil && !judged.Valid {
				err = fmt.Errorf("%s has %s", output.Line(file.place), count(len(judged.Problems), "problem"))
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&local, "local", false, "ask no node: judge the document here")
	return cmd
}

// judge has a document judged by a node, or here.
func judge(cmd *cobra.Command, f *askFlags, local bool, text []byte) (adminclient.Judged, error) {
	if local {
		return judgeHere(text, time.Now()), nil
	}
	client, err := adminclient.New(f.admin)
	if err != nil {
		return adminclient.Judged{}, err
	}
	judged, err := client.JudgeRules(cmd.Context(), text)
	if away, is := errors.AsType[*adminclient.AwayError](err); is {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "twohop: no node answers at %s: the document is judged here, without the names that are registered\n",
			away.Address) // there is nobody else to tell
		return judgeHere(text, time.Now()), nil
	}
	return judged, err
}

// judgeHere judges a document without any node.
func judgeHere(text []byte, now time.Time) (j adminclient.Judged) {
	document, err := rules.Parse(text)
	if err == nil {
		err = document.Check(nil, now)
	}
	if invalid, is := errors.AsType[*rules.Invalid](err); is {
		j.Problems = invalid.Problems
	} else if err != nil {
		j.Problems = []rules.Problem{{Line: 1, Column: 1, Message: err.Error()}}
	}
	if j.Valid = err == nil; j.Valid {
		j.Changes = rules.Diff(nil, document)
	}
	return j
}

func printJudged(w io.Writer, place string, j *adminclient.Judged) error {
	for _, p := range j.Problems {
		if _, err := fmt.Fprintln(w, problemAt(place, p)); err != nil {
			return err
		}
	}
	for _, p := range j.Warnings {
		p.Message = "warning: " + p.Message
		if _, err := fmt.Fprintln(w, problemAt(place, p)); err != nil {
			return err
		}
	}
	if !j.Valid {
		return nil
	}
	text := output.Line(place) + " is valid"
	switch {
	case j.Node == "":
		text += fmt.Sprintf(": %s", count(len(j.Changes), "rule"))
	case len(j.Changes) == 0:
		text += fmt.Sprintf(", and no rule is different from version %s", j.Mark)
	default:
		text += fmt.Sprintf(", with %s from version %s (twohop rules diff)", count(len(j.Changes), "change"), j.Mark)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func rulesDiffCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "diff {FILE | FROM [TO]}",
		Short: "Show what a document would change, or what is different between versions",
		Long: `With a file it shows what applying it would change; - is stdin. With versions it shows what leads from one to the other, or to the
one that is in force. A line is a rule: added, removed, or changed with each key. Secrets are not shown.

If the first line of the file is '# twohop rules version 1.7', as rules get writes it, and another version is in force, it warns:
rules apply would refuse the document.`,
		Example: `  twohop rules diff rules.yaml
  twohop rules diff 1.3 1.7
  twohop rules diff 1.3 --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return fmt.Errorf("there are %d arguments, want a file, or one or two versions, as: twohop rules diff 1.3 1.7", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			if _, err := adminclient.ParseMark(args[0]); err == nil || len(args) == 2 {
				return diffVersions(cmd, client, &f, args)
			}
			file, err := readDocument(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			judged, err := client.JudgeRules(cmd.Context(), file.text)
			file.judged(&judged)
			switch {
			case err != nil:
				return err
			case !judged.Valid:
				return invalidRules(cmd.ErrOrStderr(), file.place, judged.Problems)
			}
			warn(cmd.ErrOrStderr(), file.place, judged.Warnings)
			if file.from != nil && *file.from != judged.Mark {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "twohop: warning: %s was made from version %s, and version %s is in force: `twohop rules diff %s %s` shows what was changed meanwhile\n",
					output.Line(file.place), file.from, judged.Mark, file.from, judged.Mark) // there is nobody else to tell
			}
			return printDiff(cmd, &f, judged, judged.Changes)
		},
	}
	f.add(cmd)
	return cmd
}

func diffVersions(cmd *cobra.Command, client *adminclient.Client, f *askFlags, args []string) error {
	marks := make([]adminclient.Mark, 0, 2)
	for _, text := range args {
		mark, err := adminclient.ParseMark(text)
		if err != nil {
			return err
		}
		marks = append(marks, mark)
	}
	if len(marks) == 1 {
		document, err := client.Rules(cmd.Context(), false)
		if err != nil {
			return err
		}
		marks = append(marks, document.Mark)
	}
	d, err := client.RulesDiff(cmd.Context(), marks[0], marks[1])
	if err != nil {
		return err
	}
	return printDiff(cmd, f, d, d.Changes)
}

func printDiff(cmd *cobra.Command, f *askFlags, v any, changes []rules.Change) error {
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), v)
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "no rule is different")
		return err
	}
	return printChanges(cmd.OutOrStdout(), changes)
}

// lines writes text of a node that has several lines, each as one that a terminal only shows.
func lines(w io.Writer, text string) error {
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(w, output.Line(strings.TrimRight(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}
