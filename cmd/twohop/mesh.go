package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func meshCommand() *cobra.Command {
	list := meshListCommand()
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Show and change which nodes are the mesh",
		Long: `Shows the members of the mesh, or changes the list: for every node at once, while all of them run. Each node writes its
members file whole or not at all, and the result is reported per node.

Any node can be asked. It first asks all that stay and are linked whether they would take the list; if one would not, or has
another list than the one that is changed, nobody gets it. A node that joins gets the list as soon as it is linked, and may be
started later, with the list in its own members file. A node that leaves hears of it while it is linked, gets 30 s to end
what it has, and need not be there.

The number of a member does not change: remove it, start it with the other number, and add it.`,
		Example: `  twohop mesh
  twohop mesh --admin 127.0.0.1:7171 --json`,
		Args: cobra.NoArgs,
		RunE: list.RunE,
	}
	flags := cmd.PersistentFlags()
	flags.String("admin", defaultAdmin, "where the operators of one of the nodes connect, `host:port`")
	flags.Bool("json", false, "print JSON")
	cmd.AddCommand(list, meshAddCommand(), meshRemoveCommand(), meshSetCommand())
	return cmd
}

// meshFlags returns the flags that all commands of mesh have.
func meshFlags(cmd *cobra.Command) (client *adminclient.Client, asJSON bool, err error) {
	admin, err := cmd.Flags().GetString("admin")
	if err == nil {
		asJSON, err = cmd.Flags().GetBool("json")
	}
	if err == nil {
		client, err = adminclient.New(admin)
	}
	return client, asJSON, err
}

func meshListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the members, how the links to them are, and whether they have the same list",
		Example: `  twohop mesh ls
  twohop mesh ls --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, asJSON, err := meshFlags(cmd)
			if err != nil {
				return err
			}
			mesh, err := client.Mesh(cmd.Context(), true)
			if err != nil {
				return err
			}
			if asJSON {
				return output.JSON(cmd.OutOrStdout(), mesh)
			}
			return printMesh(cmd.OutOrStdout(), &mesh)
		},
	}
}

func printMesh(w io.Writer, mesh *adminclient.Mesh) error {
	if mesh.Alone {
		_, err := fmt.Fprintf(w, "node %s is alone: peers.listen, peers.members_file and data_dir make it a node of a mesh\n", output.Line(mesh.Node))
		return err
	}
	count := len(membersOf(mesh))
	if _, err := fmt.Fprintf(w, "mesh %s as node %s sees it: %d members, list %s, %s\n\n", output.Line(mesh.Mesh), output.Line(mesh.Node),
		count, output.Line(mesh.Hash), troubleCount(mesh.Troubles)); err != nil {
		return err
	}
	var rows [][]string
	for i := range mesh.Members {
		m := &mesh.Members[i]
		state := m.State
		if m.Self {
			state = "itself"
		}
		rows = append(rows, []string{m.Node, strconv.Itoa(m.Number), m.Address, state, output.Age(m.Seconds), listOf(mesh, m), m.Cause})
	}
	return output.Table(w, []string{"NODE", "NUMBER", "ADDRESS", "LINK", "SINCE", "LIST", "CAUSE"}, rows)
}

func troubleCount(n int) string {
	switch n {
	case 0:
		return "no trouble"
	case 1:
		return "1 trouble (twohop links)"
	}
	return strconv.Itoa(n) + " troubles (twohop links)"
}

// listOf says how a member's list compares with that of the node that was asked.
func listOf(mesh *adminclient.Mesh, m *adminclient.MemberView) string {
	switch {
	case m.Removed:
		return "removed"
	case m.Hash == "":
		return "not heard"
	case m.Hash == mesh.Hash:
		return "same"
	}
	return "differs"
}

// membersOf returns the list that is in force at the node that was asked.
func membersOf(mesh *adminclient.Mesh) (members []adminclient.Member) {
	for i := range mesh.Members {
		if !mesh.Members[i].Removed {
			members = append(members, mesh.Members[i].Member)
		}
	}
	return members
}

func meshAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add NODE NUMBER ADDRESS",
		Short: "Add a node to the mesh",
		Long: `Adds a node to the list of every node: its name, its number (0 to 511, its own in the mesh), and the host:port where other
nodes connect to it, which is its peers.listen.`,
		Example: `  twohop mesh add d 4 10.0.0.14:7072
  twohop mesh add d 4 10.0.0.14:7072 --admin 127.0.0.1:7171 --json`,
		Args: needs(3, "a node, its number and its address, as: twohop mesh add d 4 10.0.0.14:7072"),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("the number of the node is %q, must be 0 to 511", args[1])
			}
			added := adminclient.Member{Node: args[0], Number: number, Address: args[2]}
			return change(cmd, false, func(members []adminclient.Member) ([]adminclient.Member, error) {
				i := slices.IndexFunc(members, func(m adminclient.Member) bool { return m.Node == added.Node })
				if i >= 0 {
					return nil, fmt.Errorf("node %s is a member already, with number %d at %s: `twohop mesh set` changes members",
						output.Line(added.Node), members[i].Number, output.Line(members[i].Address))
				}
				return append(members, added), nil
			})
		},
	}
}

func meshRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NODE",
		Aliases: []string{"rm"},
		Short:   "Remove a node from the mesh",
		Long: `Removes a node from the list of every node. The others take no new calls to it, calls under way get 30 s to end, and its
modules move to other nodes. If it runs and is linked it hears of it, too.`,
		Example: `  twohop mesh remove b
  twohop mesh remove b --json`,
		Args: needs(1, "the name of a node, as: twohop mesh remove b"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeNode(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return change(cmd, false, func(members []adminclient.Member) ([]adminclient.Member, error) {
				var names []string
				for _, m := range members {
					names = append(names, m.Node)
				}
				i := slices.Index(names, args[0])
				if i < 0 {
					return nil, fmt.Errorf("node %s is no member: %s are", output.Line(args[0]), output.Line(strings.Join(names, ", ")))
				}
				return slices.Delete(members, i, i+1), nil
			})
		},
	}
}

func meshSetCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "set [FILE]",
		Short: "Give every node this list of members",
		Long: `Gives every node the list in FILE, which is a members file as configs/mesh/members.yaml, or JSON; - is stdin. Members are
added, removed and changed at once. Nodes that have another list than the one that is asked are in the way, unless there is
--force.

Without FILE, the list of the node that is asked is given to the others, whatever they have: after a change that did not reach
all of them.`,
		Example: `  twohop mesh set members.yaml
  twohop mesh set
  twohop mesh set members.yaml --force
  twohop mesh set - --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return change(cmd, true, func(members []adminclient.Member) ([]adminclient.Member, error) { return members, nil })
			}
			wanted, err := readMembers(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			return change(cmd, force, func([]adminclient.Member) ([]adminclient.Member, error) { return wanted, nil })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also for nodes that have another list than the one that is asked")
	return cmd
}

// needs wants a number of arguments, and says which.
func needs(n int, which string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("there are %d arguments, want %s", len(args), which)
		}
		return nil
	}
}

// errNotAll ends a change that did not reach every node that has to have it.
var errNotAll = errors.New("not every node has the list: `twohop mesh set` gives it to them again, once what is wrong is mended")

// notAll says what to do after such a change.
func notAll(c *adminclient.Change) error {
	err := errNotAll
	for _, t := range c.Results {
		if t.Role == "leaves" && t.Result == "ok" {
			err = fmt.Errorf("%w; node %s has left and hears no other node: if it is to stay, it is told so at its own --admin, with "+
				"`twohop mesh set FILE`", err, output.Line(t.Node))
		}
	}
	return err
}

// change has the list edited, writes it at every node, and reports. With force, nodes that have another list get it, too.
func change(cmd *cobra.Command, force bool, edit func([]adminclient.Member) ([]adminclient.Member, error)) error {
	client, asJSON, err := meshFlags(cmd)
	if err != nil {
		return err
	}
	mesh, err := client.Mesh(cmd.Context(), false)
	if err != nil {
		return err
	}
	if mesh.Alone {
		return fmt.Errorf("node %s is alone: peers.listen, peers.members_file and data_dir make it a node of a mesh", output.Line(mesh.Node))
	}
	members, err := edit(membersOf(&mesh))
	if err != nil {
		return err
	}
	result, err := client.SetMembers(cmd.Context(), mesh.Hash, members, force)
	if err != nil {
		return err
	}
	if asJSON {
		err = output.JSON(cmd.OutOrStdout(), result)
	} else {
		err = printChange(cmd.OutOrStdout(), &result)
	}
	if err == nil && !result.OK {
		return notAll(&result)
	}
	return err
}

func printChange(w io.Writer, c *adminclient.Change) error {
	var rows [][]string
	for _, t := range c.Results {
		rows = append(rows, []string{t.Node, t.Role, strings.ReplaceAll(t.Result, "_", " "), t.Error})
	}
	return output.Table(w, []string{"NODE", "ROLE", "RESULT", "WHY"}, rows)
}

// completeNode offers the members.
func completeNode(cmd *cobra.Command, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, _, err := meshFlags(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	within(cmd, func(ctx context.Context) {
		mesh, err := client.Mesh(ctx, false)
		if err != nil {
			return
		}
		for _, m := range membersOf(&mesh) {
			names = append(names, cobra.CompletionWithDesc(m.Node, m.Address))
		}
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
