package main

import "github.com/spf13/cobra"

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration of a node",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	printing := &cobra.Command{
		Use:   "print",
		Short: "Print what is in effect, and where each value comes from",
		Long: `Prints every key with the value that ` + "`twohop messageserver`" + ` would run with, given the same file, environment and
flags, as YAML. A comment says where the value comes from: default, file:line, variable or flag. Secrets are hidden.

Keys are laid over each other: default, then the file, then the environment, then flags. session.max_in_flight in the
file is the variable TWOHOP_SESSION_MAX_IN_FLIGHT and the flag --set session.max_in_flight=2048.`,
		Example: `  twohop config print
  twohop config print --config /etc/twohop/messageserver.yaml
  TWOHOP_SESSION_DEAD=20s twohop config print --listen 127.0.0.1:0 --set calls.retry_percent=5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			return c.Print(cmd.OutOrStdout())
		},
	}
	addConfigFlags(printing)
	cmd.AddCommand(printing)
	return cmd
}
