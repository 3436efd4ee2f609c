package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

// completeMethod offers the methods that the node knows. A node that does not answer offers none.
func completeMethod(cmd *cobra.Command, admin string, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // a body may be a file
	}
	client, err := adminclient.New(admin)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var modules []adminclient.Module
	within(cmd, func(ctx context.Context) { modules, err = client.Registry(ctx) })
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, m := range modules {
		for _, method := range m.Methods {
			name := m.Module + "." + method.Method
			if about := promises(&method); about != "" {
				name = cobra.CompletionWithDesc(name, about)
			}
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// within asks a node while somebody waits at a prompt.
func within(cmd *cobra.Command, ask func(ctx context.Context)) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, time.Second)
	defer cancel()
	ask(ctx)
}
