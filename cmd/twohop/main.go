// Command twohop is the one binary of twohop: it runs a node, and talks to one.
//
// It translates flags, files and variables into options and calls a library. What is more than translation stands in the
// packages below: config, adminclient, output.
//
// Failure: an error is one line on stderr, or one per problem, and says what would be right. Exit codes stand in exit.go.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/demo"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs one command line and returns its exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var coded *exitError
	if !errors.As(err, &coded) {
		coded = &exitError{code: exitUsage, err: err}
	}
	printError(cmd, args, coded)
	if coded.err != nil {
		_, _ = fmt.Fprintln(errs, "twohop:", coded.err) // there is nobody else to tell
	}
	return coded.code
}

func rootCommand() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "twohop",
		Short: "A message broker that carries RPC and governs it",
		Long: `twohop is a message broker that carries RPC and governs it: modules log in to a node,
and callers reach their methods through it.`,
		Example: `  twohop messageserver                          # a node on this machine, without any file
  twohop ps                                     # what is connected to it, and to the other nodes of its mesh
  twohop call hello.Say '{"name": "Ada"}'       # call a method through it`,
		SilenceErrors:    true,
		PersistentPreRun: watchOutput,
		SilenceUsage:     true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), readBuild().text())
				return err
			}
			return cmd.Help()
		},
	}
	// Not by cobra's template: a template may call any method by its name, so the linker would keep all methods of all types. That
	// is a third of the program, and 2 MiB of a node's memory.
	root.Flags().BoolVarP(&version, "version", "v", false, "version for twohop")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` shows the flags", err, cmd.CommandPath())
	})
	root.AddCommand(demo.Command())
	root.AddCommand(messageserverCommand(), configCommand(), callCommand(), versionCommand())
	root.AddCommand(psCommand(), linksCommand(), meshCommand(), topCommand())
	root.AddCommand(rulesCommand(), offCommand(), onCommand(), limitCommand(), statsCommand(), alarmsCommand(), auditCommand())
	return root
}
