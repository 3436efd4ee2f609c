package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
	"github.com/twohop/twohop/governance/rules"
)

// changeFlags are the flags of commands that change the rules. Each first shows what would change, then asks, then reports.
type changeFlags struct {
	admin, reason, author string
	yes, dryRun, asJSON   bool
}

func (f *changeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.admin, "admin", defaultAdmin, "where the operators of one of the nodes connect, `host:port`")
	flags.StringVar(&f.reason, "reason", "", "why, in `words`: it stands in the history and in the audit log")
	flags.StringVar(&f.author, "author", "", "`who` makes the change (default: your user name @ this host)")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do it without being asked; scripts need it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would change, and change nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
}

// begin checks what can be checked before any node is asked.
func (f *changeFlags) begin() (*adminclient.Client, error) {
	f.reason = strings.TrimSpace(f.reason)
	switch {
	case f.dryRun:
	case f.reason == "":
		return nil, errors.New(`--reason is missing: it says why, as --reason "ticket 4711"`)
	}
	if f.author == "" {
		f.author = author()
	}
	return adminclient.New(f.admin)
}

// author is who runs this command.
func author() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if name == "" {
		name = "uid " + strconv.Itoa(os.Getuid())
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return name
}

// preview returns where what would change is shown: not among the JSON.
func (f *changeFlags) preview(cmd *cobra.Command) io.Writer {
	if f.asJSON {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

// errDeclined ends a change that nobody wanted in the end.
var errDeclined = errors.New("nothing was changed")

// confirm asks at the terminal. What would change has been shown by then, also where there is none.
func (f *changeFlags) confirm(cmd *cobra.Command, question string) error {
	switch {
	case f.yes:
		return nil
	case !isTerminal(cmd.InOrStdin()):
		return errors.New("nothing was changed, for there is no terminal to ask at: --yes makes the change without asking")
	}
	if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && answer == "" {
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// finish reports a change: v as JSON, or the nodes as a table. A change that is not in force everywhere is an error.
func (f *changeFlags) finish(cmd *cobra.Command, v any, a *adminclient.Applied) error {
	var err error
	switch {
	case f.asJSON:
		err = output.JSON(cmd.OutOrStdout(), v)
	case a.Unchanged:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "nothing has changed: version %s says the same\n", a.Mark)
	default:
		err = printApplied(cmd.OutOrStdout(), a)
	}
	if err != nil || a.Unchanged {
		return err
	}
	return missing(a)
}

func printApplied(w io.Writer, a *adminclient.Applied) error {
	if _, err := fmt.Fprintf(w, "\nversion %s is in force at node %s\n\n", a.Mark, output.Line(a.Node)); err != nil {
		return err
	}
	rows := make([][]string, 0, len(a.Nodes))
	for i := range a.Nodes {
		n := &a.Nodes[i]
		if n.Error != "" {
			rows = append(rows, []string{n.Node, "", "", "", "", "not heard: " + n.Error})
			continue
		}
		inForce, why := "not yet", "" // it has an older version
		if n.InForceMS != nil {
			inForce = "after " + millis(*n.InForceMS)
		} else if !n.Mark.Less(a.Mark) {
			inForce = "yes"
		}
		var enforced string
		switch {
		case n.Servers == 0: // there is nobody to enforce it
		case n.SDKMS != nil:
			enforced = "after " + millis(*n.SDKMS)
		case n.Enforcing >= n.Servers:
			enforced = "yes"
		default:
			enforced = "not yet"
			why = fmt.Sprintf("%d of its server sessions have not said that they enforce it", n.Servers-n.Enforcing)
		}
		rows = append(rows, []string{n.Node, n.Mark.String(), inForce, fmt.Sprintf("%d/%d", n.Enforcing, n.Servers), enforced, why})
	}
	return output.Table(w, []string{"NODE", "VERSION", "IN FORCE", "SERVERS", "ENFORCED", "WHY"}, rows)
}

// millis writes milliseconds as people read them.
func millis(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
}

// missing says which nodes and servers do not have a change.
func missing(a *adminclient.Applied) error {
	var nodes, servers []string
	for i := range a.Nodes {
		switch n := &a.Nodes[i]; {
		case n.Error != "" || n.Mark.Less(a.Mark):
			nodes = append(nodes, n.Node)
		case n.Enforcing < n.Servers:
			servers = append(servers, fmt.Sprintf("%d at node %s", n.Servers-n.Enforcing, n.Node))
		}
	}
	var all []string
	if len(nodes) > 0 {
		all = append(all, "it is not in force at "+strings.Join(nodes, ", "))
	}
	if len(servers) > 0 {
		all = append(all, "server sessions do not enforce it themselves: "+strings.Join(servers, ", "))
	}
	if len(all) == 0 {
		return nil
	}
	return &exitError{exitNotAll, fmt.Errorf("version %s is made, but %s; `twohop rules status` shows when that has ended", a.Mark, output.Line(strings.Join(all, "; ")))}
}

// printChanges lists what a change does, a line each.
func printChanges(w io.Writer, changes []rules.Change) error {
	for i := range changes {
		if _, err := fmt.Fprintln(w, output.Line(changes[i].String())); err != nil {
			return err
		}
	}
	return nil
}

// warn lists what is allowed and may be a slip of the pen; place is the name of the file, if there is one.
func warn(w io.Writer, place string, warnings []rules.Problem) {
	for _, p := range warnings {
		_, _ = fmt.Fprintf(w, "twohop: warning: %s\n", problemAt(place, p)) // there is nobody else to tell
	}
}

// problemAt writes a problem as compilers do, so that editors find it.
func problemAt(place string, p rules.Problem) string {
	if place == "" {
		return output.Line(p.Message)
	}
	return output.Line(fmt.Sprintf("%s:%d:%d: %s", place, p.Line, p.Column, p.Message))
}

// refused says why the node does not make a change. File is the document, if it is one.
func refused(cmd *cobra.Command, file *rulesFile, err error) error {
	r, is := errors.AsType[*adminclient.RefusalError](err)
	if !is {
		return err
	}
	if c, is := r.Conflict(); is {
		if c.NoSuch {
			return because(r, fmt.Errorf("%s; `twohop rules history` lists those that are kept", output.Line(r.Message)))
		}
		return because(r, conflict(cmd.ErrOrStderr(), &c, file != nil))
	}
	if invalid, is := r.Invalid(); is {
		place := ""
		if file != nil {
			place = file.place
			file.placed(invalid.Problems)
		}
		return because(r, invalidRules(cmd.ErrOrStderr(), place, invalid.Problems))
	}
	return err
}

// lost says of an answer to a change that did not come that nobody knows what became of the change.
func lost(err error) error {
	if _, is := errors.AsType[*adminclient.RefusalError](err); is || err == nil || adminclient.Away(err) {
		return err
	}
	return &exitError{exitUncertain, fmt.Errorf("%w; the change may be made or not: `twohop rules status` says it", err)}
}

// conflict says who has changed what meanwhile, and what to do then with a document or with another change.
func conflict(w io.Writer, c *adminclient.Conflict, document bool) error {
	has := &c.Has
	_, _ = fmt.Fprintf(w, "twohop: %s has made version %s meanwhile, at %s: %s\n", output.Line(has.Author), has.Mark, moment(has.At), output.Line(orNone(has.Reason)))
	if len(c.Changes) == 0 {
		_, _ = fmt.Fprintln(w, "  what it changes is not known here: the version that you began with is not kept any more")
	}
	for i := range c.Changes {
		_, _ = fmt.Fprintln(w, "  "+output.Line(c.Changes[i].String()))
	}
	if !document {
		return &exitError{exitConflict, errors.New("nothing was changed: the same command shows what it would do now")}
	}
	return &exitError{exitConflict, fmt.Errorf("nothing was changed: look at version %s, make your change again from it, and apply it with --from %s", has.Mark, has.Mark)}
}

func orNone(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return reason
}

// invalidRules lists the problems of a document.
func invalidRules(w io.Writer, place string, problems []rules.Problem) error {
	for _, p := range problems {
		_, _ = fmt.Fprintln(w, problemAt(place, p)) // there is nobody else to tell
	}
	return fmt.Errorf("%s: nothing was changed", count(len(problems), "problem"))
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
