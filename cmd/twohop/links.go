package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func linksCommand() *cobra.Command {
	var admin string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "links",
		Short: "Show the links between the nodes of the mesh",
		Long: `Shows every link from both of its ends, because they may differ: a row is what one node says of the others. Below it stands
every end that is not up or has a trouble: its state, since when, why, the round trip, the age of the oldest frame that the
other node has not answered, and the last error.

A link carries calls when it is up. Other states: connecting, syncing (the registry is on its way), waiting (for the next
attempt), refused (by the other node), leaving (no member any more), down. Any node answers for all; a row of "?" is a node
that it does not hear.`,
		Example: `  twohop links
  twohop links --admin 127.0.0.1:7171 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := adminclient.New(admin)
			if err != nil {
				return err
			}
			links, err := client.Links(cmd.Context())
			if err != nil {
				return err
			}
			nodes := make([]adminclient.Heard, 0, len(links.Nodes))
			for _, n := range links.Nodes {
				nodes = append(nodes, n.Heard)
			}
			warnUnheard(cmd.ErrOrStderr(), nodes, "how its links are is known from the other ends only")
			if asJSON {
				return output.JSON(cmd.OutOrStdout(), links)
			}
			return printLinks(cmd.OutOrStdout(), &links)
		},
	}
	cmd.Flags().StringVar(&admin, "admin", defaultAdmin, "where the node's operators connect, `host:port`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printLinks(w io.Writer, links *adminclient.Links) error {
	heads, rows := matrix(links)
	if len(rows) == 1 && len(heads) == 2 {
		_, err := fmt.Fprintf(w, "node %s has no links: it is the only member of its mesh\n", output.Line(links.Node))
		return err
	}
	if err := output.Table(w, heads, rows); err != nil {
		return err
	}
	heads, rows = ailing(links)
	if len(rows) == 0 {
		text := "all links are up"
		if slices.ContainsFunc(links.Nodes, func(n adminclient.NodeLinks) bool { return n.Error != "" }) {
			text = "all links are up, as far as nodes were heard"
		}
		_, err := fmt.Fprintln(w, "\n"+text)
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return output.Table(w, heads, rows)
}

// matrix has a row for every node that is a member or was heard, and a column for everyone whom somebody has a link to.
func matrix(links *adminclient.Links) (heads []string, rows [][]string) {
	var names []string
	for _, n := range links.Nodes {
		names = append(names, n.Node)
		for i := range n.Links {
			names = append(names, n.Links[i].Peer)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	heads = append([]string{"FROM \\ TO"}, names...)
	nodes := slices.Clone(links.Nodes)
	slices.SortFunc(nodes, func(x, y adminclient.NodeLinks) int { return slices.Index(names, x.Node) - slices.Index(names, y.Node) })
	for i := range nodes {
		row := []string{nodes[i].Node}
		for _, to := range names {
			row = append(row, cell(&nodes[i], to))
		}
		rows = append(rows, row)
	}
	return heads, rows
}

// cell says how one link is.
func cell(from *adminclient.NodeLinks, to string) string {
	if from.Node == to {
		return "·"
	}
	if from.Error != "" {
		return "?"
	}
	i := slices.IndexFunc(from.Links, func(l adminclient.Link) bool { return l.Peer == to })
	switch {
	case i < 0:
		return "none"
	case from.Links[i].State == "up":
		return strings.TrimSpace("up " + roundTrip(from.Links[i].RTTMicros))
	}
	return from.Links[i].State + " " + output.Age(from.Links[i].NotUp)
}

// roundTrip writes microseconds.
func roundTrip(micros int64) string {
	if micros <= 0 {
		return "" // not measured yet
	}
	return strconv.FormatFloat(float64(micros)/1000, 'f', 1, 64) + "ms"
}

// ailing lists the ends that are not up, and the troubles, those that are not about a link, too.
func ailing(links *adminclient.Links) (heads []string, rows [][]string) {
	for i := range links.Nodes {
		n := &links.Nodes[i]
		told := make(map[string]bool) // peers whose link stands there
		for _, t := range n.Troubles {
			if t.Kind == "link_down" && slices.ContainsFunc(n.Troubles, func(o adminclient.Trouble) bool { return o.Kind == "node_dead" && o.Peer == t.Peer }) {
				continue // that says it, too
			}
			row := []string{n.Node, t.Peer, t.Kind, output.Age(t.Seconds), t.Cause, "", "", ""}
			if i := slices.IndexFunc(n.Links, func(l adminclient.Link) bool { return l.Peer == t.Peer }); i >= 0 {
				copy(row[5:], measured(&n.Links[i]))
				told[t.Peer] = told[t.Peer] || t.Kind == "link_down" || t.Kind == "node_dead"
			}
			rows = append(rows, row)
		}
		for i := range n.Links {
			l := &n.Links[i]
			if l.State != "up" && !told[l.Peer] {
				rows = append(rows, append([]string{n.Node, l.Peer, l.State, output.Age(l.NotUp), l.Cause}, measured(l)...))
			}
		}
	}
	return []string{"FROM", "TO", "STATE", "SINCE", "CAUSE", "RTT", "UNANSWERED", "LAST ERROR"}, rows
}

// measured are the cells of a link that are the same for its state and for a trouble.
func measured(l *adminclient.Link) []string {
	unanswered := ""
	if l.UnansweredMS > 0 {
		unanswered = (time.Duration(l.UnansweredMS) * time.Millisecond).String()
	}
	last := l.LastError
	if last == l.Cause {
		last = "" // it stands there
	}
	return []string{roundTrip(l.RTTMicros), unanswered, last}
}
