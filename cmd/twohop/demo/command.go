package demo

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// Command returns `twohop demo`.
func Command() *cobra.Command {
	o := Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A mesh of three nodes, four instances, two callers and 3,000 gifts: see it work, and kill it meanwhile",
		Long: `Starts three nodes that are a mesh, two instances of fishtrade, two of rank and two callers, each a process of its own on
loopback, and sends gifts through them: some cross one node, some two. At the end it compares what every caller was told
with what the instances have in their ledgers. A contradiction is a lie; with one the exit code is 1.

A gift is a line of JSON: ` + example + `
Gifts above 10,000 are refused by the handler. Without --for it runs until Ctrl-C on a terminal, else once through the input.`,
		Example: `  twohop demo
  twohop demo --chaos                 # kill a node or an instance every one or two seconds
  twohop demo --for 10s --json        # the numbers, for a script
  twohop demo --input gifts.jsonl --once
  cat gifts.jsonl | twohop demo --input -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Stdin, o.Out, o.Errors = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			o.Live = isTerminal(o.Out)
			if o.Chaos && !cmd.Flags().Changed("work") {
				o.Work = chaosWork
			}
			return Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Input, "input", "", "`file` with a gift a line, or - for stdin (default configs/demo/gifts.jsonl, or the same gifts made here)")
	flags.DurationVar(&o.For, "for", 0, "how long to send, as `10s`; the input is repeated until then")
	flags.BoolVar(&o.Once, "once", false, "end after one pass of the input")
	flags.IntVar(&o.Rate, "rate", defaultRate, "`gifts` per second of all callers; 0: as fast as it goes")
	flags.IntVar(&o.InFlight, "in-flight", defaultInFlight, "`calls` in flight of each caller, at most")
	flags.BoolVar(&o.Chaos, "chaos", false, "kill a node or an instance every one or two seconds, and start it again")
	flags.Uint64Var(&o.Seed, "seed", 0, "`number` that makes the plan of --chaos (default: a new one)")
	flags.DurationVar(&o.Work, "work", 0, "how long each handler takes, as `5ms` (default 0s, with --chaos "+chaosWork.String()+")")
	flags.BoolVar(&o.JSON, "json", false, "print one JSON object at the end, and nothing else on stdout")
	flags.BoolVar(&o.Keep, "keep", false, "leave ledgers and logs behind, and say where")
	_ = cmd.MarkFlagFilename("input", "jsonl") // it fails only for flags that do not exist
	cmd.AddCommand(giftsCommand(), instanceCommand(), callerCommand())
	return cmd
}

// giftsCommand writes configs/demo/gifts.jsonl.
func giftsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "gifts", Short: "Write the 3,000 gifts of the demo to stdout", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return writeGifts(cmd.OutOrStdout()) },
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
