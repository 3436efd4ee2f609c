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
	Modules  []adminclient.Module  `json:"modules,omitempty"`
	Sessions []adminclient.Session `json:"sessions,omitempty"`
}

func psCommand() *cobra.Command {
	var admin string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [modules|instances|sessions]",
		Short: "List what is connected to a node",
		Long: `Lists the modules that a node can reach, with their methods and what those promise; the instances that serve them; and the
node's own sessions. Without an argument it lists all three.`,
		Example: `  twohop ps
  twohop ps modules
  twohop ps sessions --admin 127.0.0.1:7171 --json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), knownTopic),
		ValidArgs: topics,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = topics
			}
			s, err := look(cmd.Context(), admin, args)
			if err != nil {
				return err
			}
			if asJSON {
				return output.JSON(cmd.OutOrStdout(), s)
			}
			return s.print(cmd.OutOrStdout(), args)
		},
	}
	cmd.Flags().StringVar(&admin, "admin", defaultAdmin, "where the node's operators connect, `host:port`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func knownTopic(_ *cobra.Command, args []string) error {
	if len(args) == 1 && !slices.Contains(topics, args[0]) {
		return fmt.Errorf("there are no %q to list, only %s", args[0], strings.Join(topics, ", "))
	}
	return nil
}

// look asks a node for the topics.
func look(ctx context.Context, admin string, asked []string) (s snapshot, err error) {
	client, err := adminclient.New(admin)
	if err != nil {
		return s, err
	}
	if s.Info, err = client.Info(ctx); err != nil {
		return s, err
	}
	if slices.Contains(asked, "modules") || slices.Contains(asked, "instances") {
		if s.Modules, err = client.Registry(ctx); err != nil {
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
	if _, err := fmt.Fprintf(w, "node %s of mesh %s at %s, %s, up %s, %d calls in flight\n", output.Line(s.Info.Node),
		output.Line(s.Info.Mesh), output.Line(s.Info.Listen), ready, output.Age(s.Info.Uptime), s.Info.Counts.InFlight); err != nil {
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
			if i.Draining {
				state = "draining"
			}
			rows = append(rows, []string{
				m.Module, i.Instance, state, i.Group, strconv.FormatUint(uint64(i.Weight), 10), i.Node, i.Remote,
				output.Age(i.Age), strconv.Itoa(i.Outstanding), fmt.Sprintf("%.0f%%", 100*i.Failing), i.AppVersion,
				strings.Join(i.Needs, " "),
			})
		}
	}
	return []string{"MODULE", "INSTANCE", "STATE", "GROUP", "WEIGHT", "NODE", "REMOTE", "AGE", "CALLS", "FAILING", "VERSION", "NEEDS"}, rows
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
