package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/twohop/twohop/cmd/twohop/config"
)

// nodeFlags are the flags of the options that are set most; --set has the others.
var nodeFlags = []struct{ flag, key, help string }{
	{"node", "node", "the node's `name`, unique in the mesh"},
	{"number", "number", "the node's `number`, 0 to 511, unique in the mesh"},
	{"mesh", "mesh", "the `name` of the mesh"},
	{"listen", "listen", "where modules connect: `host:port` or unix:/path; port 0 takes a free one"},
	{"advertise", "advertise", "the `address` that modules are told for this node"},
	{"admin", "admin.listen", "where operators connect: `host:port` on loopback, or off"},
	{"auth", "auth.mode", "who may log in: `none` (loopback only) or secret"},
	{"drain-timeout", "drain_timeout", "how long a stop waits for sessions to leave, as `10s`"},
}

// addConfigFlags gives a command the flags that loadConfig reads.
func addConfigFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringP("config", "c", "", "the configuration `file`, YAML")
	for _, f := range nodeFlags {
		flags.String(f.flag, "", f.help)
	}
	flags.StringArray("set", nil, "any other `key=value` of the configuration, as session.dead=20s; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("set", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var keys []string
		for _, name := range config.Names() {
			keys = append(keys, name+"=")
		}
		return keys, cobra.ShellCompDirectiveNoSpace
	})
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // it fails only for flags that do not exist
}

// loadConfig makes the configuration from the file, the environment and the flags.
func loadConfig(cmd *cobra.Command) (*config.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	in := config.Input{File: file, Env: os.Environ()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, n := range nodeFlags {
			if n.flag == f.Name {
				in.Flags = append(in.Flags, config.Flag{Name: f.Name, Key: n.key, Value: f.Value.String()})
			}
		}
	})
	sets, err := cmd.Flags().GetStringArray("set")
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok {
			return nil, fmt.Errorf("--set is %q, must be key=value, as session.dead=20s", set)
		}
		in.Flags = append(in.Flags, config.Flag{Name: "set", Key: key, Value: value})
	}
	c, err := config.Load(in)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return nil, fmt.Errorf("the configuration is wrong:\n  %s", strings.ReplaceAll(problems.Error(), "\n", "\n  "))
	}
	return c, err
}
