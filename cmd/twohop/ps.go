package main

import (
	"context"
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

const defaultAdmin = "127.0.0.1:7071"

// topics are what ps shows, in this order.
var topics = []string{"modules", "instances", "sessions"}

// snapshot is what ps knows. Only what was asked for is filled in.
type snapshot struct {
	Info     adminclient.Info      `json:"node"`
	Nodes    []adminclient.Heard   `json:"nodes,omitempty"` // who was asked for modules; empty: only the node itself
	Modules  []adminclient.Module  `json:"modules,omitempty"`
	Sessions []adminclient.Session `json:"sessions,omitempty"`
}

func psCommand() *cobra.Command {
	var admin string
	var nodeOnly, asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [modules|instances|sessions]",
		Short: "List what is connected to the mesh",
		Long: `Lists the modules that the nodes of the mesh serve, with their methods and what those promise; the instances that serve them,
each with the nodes that it is logged in to; and the sessions of the node that is asked. Without an argument it lists all
three. Any node answers for all: it asks the others, and those that it does not hear are named on stderr.

--node-only lists what the one node knows by itself: the way that its calls would take.`,
		Example: `  twohop ps
  twohop ps modules
  twohop ps instances --node-only
  twohop ps sessions --admin 127.0.0.1:7171 --json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), knownTopic),
		ValidArgs: topics,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = topics
			}
			s, err := look(cmd.Context(), admin, args, nodeOnly)
			if err != nil {
				return err
			}
			warnUnheard(cmd.ErrOrStderr(), s.Nodes, "what it serves is missing here")
			if asJSON {
				return output.JSON(cmd.OutOrStdout(), s)
			}
			return s.print(cmd.OutOrStdout(), args)
		},
	}
	cmd.Flags().StringVar(&admin, "admin", defaultAdmin, "where the node's operators connect, `host:port`")
	cmd.Flags().BoolVar(&nodeOnly, "node-only", false, "list what the node knows by itself, and ask no other")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func knownTopic(_ *cobra.Command, args []string) error {
	if len(args) == 1 && !slices.Contains(topics, args[0]) {
		return fmt.Errorf("there are no %q to list, only %s", args[0], strings.Join(topics, ", "))
	}
	return nil
}

// warnUnheard names the nodes that were not heard, and those that have not said all.
func warnUnheard(w io.Writer, nodes []adminclient.Heard, so string) {
	for _, n := range nodes {
		if n.Error != "" {
			_, _ = fmt.Fprintf(w, "twohop: node %s was not heard, %s: %s\n", output.Line(n.Node), so, output.Line(n.Error)) // there is nobody else to tell
		}
		if n.Lack != "" {
			_, _ = fmt.Fprintf(w, "twohop: node %s has not counted all of it: %s\n", output.Line(n.Node), output.Line(n.Lack)) // likewise
		}
	}
}

// look asks a node for the topics.
func look(ctx context.Context, admin string, asked []string, nodeOnly bool) (s snapshot, err error) {
	client, err := adminclient.New(admin)
	if err != nil {
		return s, err
	}
	if s.Info, err = client.Info(ctx); err != nil {
		return s, err
	}
	if slices.Contains(asked, "modules") || slices.Contains(asked, "instances") {
		if nodeOnly {
			s.Modules, err = client.Registry(ctx)
		} else {
			s.Modules, s.Nodes, err = client.MeshRegistry(ctx)
		}
		if err != nil {
			return s, err
		}
	}
	if slices.Contains(asked, "sessions") {
		s.Sessions, err = client.Sessions(ctx)
	}
	return s, err
}

func (s *snapshot) print(w io.Writer, asked []string) error {
	ready := "ready"
	if !s.Info.Ready {
		ready = "NOT READY"
	}
	links := ""
	if p := s.Info.Peers; p != nil {
		links = fmt.Sprintf(", %d of %d links up", p.LinksUp, p.Links)
	}
	if _, err := fmt.Fprintf(w, "node %s of mesh %s at %s, %s, up %s, %d calls in flight%s\n", output.Line(s.Info.Node),
		output.Line(s.Info.Mesh), output.Line(s.Info.Listen), ready, output.Age(s.Info.Uptime), s.Info.Counts.InFlight, links); err != nil {
		return err
	}
	tables := map[string]func() (heads []string, rows [][]string){
		"modules": s.modules, "instances": s.instances, "sessions": s.sessions,
	}
	for _, topic := range asked {
		heads, rows := tables[topic]()
		if len(rows) == 0 {
			if _, err := fmt.Fprintf(w, "\nno %s\n", topic); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := output.Table(w, heads, rows); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshot) modules() (heads []string, rows [][]string) {
	for _, m := range s.Modules {
		for _, method := range m.Methods {
			rows = append(rows, []string{
				m.Module + "." + method.Method, strconv.Itoa(method.Instances), method.Visibility, promises(&method),
			})
		}
		if len(m.Methods) == 0 {
			rows = append(rows, []string{m.Module, strconv.Itoa(len(m.Instances)), "", "no methods"})
		}
	}
	return []string{"METHOD", "INSTANCES", "VISIBILITY", "CONTRACT"}, rows
}

// promises writes a method's contract.
func promises(m *adminclient.Method) string {
	var words []string
	for _, p := range []struct {
		is   bool
		word string
	}{{m.Idempotent, "idempotent"}, {m.Reachable, "reachable"}, {m.RunLate, "runs late"}} {
		if p.is {
			words = append(words, p.word)
		}
	}
	if m.DefaultTimeoutMS > 0 {
		words = append(words, "timeout "+(time.Duration(m.DefaultTimeoutMS)*time.Millisecond).String())
	}
	return strings.Join(words, ", ")
}

func (s *snapshot) instances() (heads []string, rows [][]string) {
	for _, m := range s.Modules {
		for _, i := range m.Instances {
			state := "ready"
			switch {
			case i.HeldDown:
				state = "held down"
			case i.Draining:
				state = "draining"
			}
			nodes, remote := whereabouts(&i)
			rows = append(rows, []string{
				m.Module, i.Instance, state, i.Group, strconv.FormatUint(uint64(i.Weight), 10), nodes, remote,
				output.Age(i.Age), strconv.Itoa(i.Outstanding), fmt.Sprintf("%.0f%%", 100*i.Failing), i.AppVersion,
				strings.Join(i.Needs, " "),
			})
		}
	}
	return []string{"MODULE", "INSTANCE", "STATE", "GROUP", "WEIGHT", "NODES", "REMOTE", "AGE", "CALLS", "FAILING", "VERSION", "NEEDS"}, rows
}

// whereabouts names the nodes that an instance is logged in to, and the address that it comes from.
func whereabouts(i *adminclient.Instance) (nodes, remote string) {
	if len(i.Paths) == 0 {
		return i.Node, i.Remote
	}
	names := make([]string, 0, len(i.Paths))
	remote = i.Remote
	for _, p := range i.Paths {
		names = append(names, p.Node)
		if p.Usable != nil && !*p.Usable {
			names[len(names)-1] = "(" + p.Node + ")" // calls do not go there now
		}
		if remote == "" {
			remote = p.Remote
		}
	}
	return strings.Join(names, " "), remote
}

func (s *snapshot) sessions() (heads []string, rows [][]string) {
	for _, c := range s.Sessions {
		number := ""
		if c.Session != 0 {
			number = strconv.FormatUint(c.Session, 10)
		}
		rows = append(rows, []string{
			number, c.Module, c.Instance, c.Role, c.State, c.Remote, output.Age(c.Age), strconv.Itoa(c.InFlight),
			strconv.Itoa(c.Outstanding), output.Bytes(c.BytesIn), output.Bytes(c.BytesOut), c.SDK,
		})
	}
	return []string{"SESSION", "MODULE", "INSTANCE", "ROLE", "STATE", "REMOTE", "AGE", "MAKES", "RUNS", "IN", "OUT", "SDK"}, rows
}
