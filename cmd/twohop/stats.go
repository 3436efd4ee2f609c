package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

// statsPage shows statistics.
type statsPage struct {
	adminclient.Stats
	by, sort string
	read     time.Time // by the clock here
	steps    bool      // rows are of parts of the time
}

func (p *statsPage) print(w io.Writer) error {
	past := !p.From.IsZero()
	when := p.read.UTC().Format("15:04:05 UTC")
	if past {
		when = moment(p.From) + " to now"
		if !p.To.IsZero() {
			when = moment(p.From) + " to " + moment(p.To)
		}
	}
	heard := 0
	for _, n := range p.Nodes {
		if n.Error == "" {
			heard++
		}
	}
	rows := count(len(p.Rows), "line")
	if p.Total > len(p.Rows) {
		rows = fmt.Sprintf("the first %d of %d lines", len(p.Rows), p.Total)
	}
	if _, err := fmt.Fprintf(w, "%s as %s hears it: by %s, sorted by %s, %s\n\n", when, nodesHeard(p.Node, heard, len(p.Nodes)), p.by, p.sort, rows); err != nil {
		return err
	}
	heads := append(p.names(), liveHeads...)
	if past {
		heads = append(p.names(), pastHeads...)
	}
	cells := make([][]string, 0, len(p.Rows))
	for i := range p.Rows {
		row := p.namesOf(&p.Rows[i])
		if past {
			row = append(row, pastCells(&p.Rows[i])...)
		} else {
			row = append(row, liveCells(&p.Rows[i])...)
		}
		cells = append(cells, row)
	}
	if len(cells) == 0 {
		if _, err := fmt.Fprintln(w, "nothing was counted"); err != nil {
			return err
		}
	} else if err := output.Table(w, heads, cells); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if n.Error != "" && !past { // of the past it stands on stderr
			if _, err := fmt.Fprintf(w, "\n%s was not heard: %s\n", output.Line(n.Node), output.Line(n.Error)); err != nil {
				return err
			}
		}
	}
	return nil
}

func nodesHeard(node string, heard, all int) string {
	if heard == all {
		return fmt.Sprintf("node %s (all %s)", output.Line(node), count(all, "node"))
	}
	return fmt.Sprintf("node %s (%d of %d nodes)", output.Line(node), heard, all)
}

var (
	liveHeads = []string{"CALLS/S", "10 S", "60 S", "IN FLIGHT", "P50", "P99", "OK", "NOT EXEC", "FAILED", "UNKNOWN"}
	pastHeads = []string{"CALLS", "MEAN/S", "PEAK/S", "P50", "P99", "OK", "NOT EXEC", "FAILED", "UNKNOWN"}
)

// names are the heads of what rows are grouped by.
func (p *statsPage) names() (heads []string) {
	if p.steps {
		heads = append(heads, "TIME")
	}
	switch p.by {
	case "module":
		return append(heads, "MODULE")
	case "caller":
		return append(heads, "CALLER")
	case "caller-method":
		return append(heads, "CALLER", "METHOD")
	}
	return append(heads, "METHOD")
}

func (p *statsPage) namesOf(r *adminclient.StatsRow) (cells []string) {
	if p.steps {
		cells = append(cells, moment(r.Time))
	}
	switch p.by {
	case "module":
		return append(cells, r.Module)
	case "caller":
		return append(cells, r.Caller)
	case "caller-method":
		return append(cells, r.Caller, method(r.Module, r.Method))
	}
	return append(cells, method(r.Module, r.Method))
}

func liveCells(r *adminclient.StatsRow) []string {
	return append([]string{perSecond(r.Rate1), perSecond(r.Rate10), perSecond(r.Rate60), strconv.FormatInt(r.InFlight, 10)}, endCells(r)...)
}

func pastCells(r *adminclient.StatsRow) []string {
	mean := ""
	if r.Over > 0 {
		mean = perSecond(float64(r.Entered) / r.Over)
	}
	return append([]string{strconv.FormatUint(r.Entered, 10), mean, strconv.FormatUint(r.Peak, 10)}, endCells(r)...)
}

// endCells say how calls have ended. Calls that are still under way are no part of it.
func endCells(r *adminclient.StatsRow) []string {
	ok := ""
	if r.Finished > 0 {
		ok = strconv.FormatFloat(100*float64(r.Classes["success"])/float64(r.Finished), 'f', 1, 64) + "%"
		if r.Classes["success"] < r.Finished && ok == "100.0%" {
			ok = "<100%"
		}
	}
	of := func(class string) string { return strconv.FormatUint(r.Classes[class], 10) }
	return []string{tookCell(r, r.P50US), tookCell(r, r.P99US), ok, of("not_executed"), of("executed"), of("unknown")}
}

// tookCell writes a time, if calls have ended.
func tookCell(r *adminclient.StatsRow, micros uint64) string {
	switch {
	case r.Finished == 0:
		return ""
	case micros < 1000:
		return strconv.FormatUint(micros, 10) + "µs"
	case micros < 10_000:
		return strconv.FormatFloat(float64(micros)/1e3, 'f', 1, 64) + "ms"
	case micros < 1_000_000:
		return strconv.FormatUint(micros/1000, 10) + "ms"
	}
	return strconv.FormatFloat(float64(micros)/1e6, 'f', 1, 64) + "s"
}

// showPast prints a past time.
func (f *topFlags) showPast(ctx context.Context, cmd *cobra.Command, client *adminclient.Client) error {
	limit := f.limit
	if limit == 0 {
		limit = 100
		if f.step != "" {
			limit = 1000
		}
	}
	question := f.question(limit)
	question["from"], question["to"], question["step"] = f.from, f.to, f.step
	if f.step != "" && !cmd.Flags().Changed("sort") {
		question["sort"] = "name" // and by time
	}
	s, err := client.Stats(ctx, question)
	if err != nil {
		return noStats(err)
	}
	warnUnheard(cmd.ErrOrStderr(), s.Nodes, "what it has counted is missing here")
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), s)
	}
	return (&statsPage{Stats: s, by: f.by, sort: question["sort"], steps: f.step != ""}).print(cmd.OutOrStdout())
}

// showCallers prints who calls a method or a module.
func (f *topFlags) showCallers(ctx context.Context, cmd *cobra.Command, client *adminclient.Client) error {
	module, method, err := splitTarget(ctx, client, f.callers)
	if err != nil {
		return err
	}
	list, err := client.Callers(ctx, module, method, f.over)
	if err != nil {
		return noStats(err)
	}
	warnUnheard(cmd.ErrOrStderr(), list.Nodes, "what it has counted is missing here")
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), list)
	}
	over := output.Age(f.over.Seconds())
	if len(list.Callers) == 0 {
		nobody := "nobody has called"
		if slices.ContainsFunc(list.Nodes, func(n adminclient.Heard) bool { return n.Error != "" || n.Lack != "" }) {
			nobody = "nobody is known to have called"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s in the last %s\n", nobody, output.Line(f.callers), over)
		return err
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "who has called %s in the last %s, as node %s hears it\n\n", output.Line(f.callers), over, output.Line(list.Node)); err != nil {
		return err
	}
	return printCallers(cmd.OutOrStdout(), list.Callers)
}

func statsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Take out what was counted",
		Long:  `Takes out what nodes have counted. ` + "`twohop top`" + ` shows it, of now and of the past.`,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(statsExportCommand())
	return cmd
}

func statsExportCommand() *cobra.Command {
	var admin, from, to string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print what one node has counted, as lines of JSON",
		Long: `Prints a line of JSON for each caller, method and minute that the node which is asked has counted, of the last 8 days: for
so long minutes are kept. What was before is there by the hour: ` + "`twohop top --from 720h --step 24h`" + `. Other nodes have counted what
has entered there: ask each of them.`,
		Example: `  twohop stats export --from 24h > calls.jsonl
  twohop stats export --from 2026-11-20T10:00:00Z --to 2026-11-20T11:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := adminclient.New(admin)
			if err != nil {
				return err
			}
			err = client.ExportStats(cmd.Context(), from, to, cmd.OutOrStdout())
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("the export broke off, and the lines are not all that there are: %w", err)
			}
			return noStats(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&admin, "admin", defaultAdmin, "where the node's operators connect, `host:port`")
	flags.StringVar(&from, "from", "1h", "from this `time` on, as 2026-11-20T10:00:00Z, or 2h for two hours ago")
	flags.StringVar(&to, "to", "", "until this `time` (default: now)")
	return cmd
}
