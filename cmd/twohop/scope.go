package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

// scope says which calls a command is about: those that have all of its names.
type scope struct{ module, method, group, caller string }

// String names the scope to people.
func (s scope) String() string {
	text := "all calls"
	switch {
	case s.method != "":
		text = s.module + "." + s.method
	case s.module != "":
		text = "all of " + s.module
	}
	if s.group != "" {
		text += " in group " + s.group
	}
	if s.caller != "" {
		text += " for " + s.caller
	}
	return output.Line(text)
}

// scopeFlags are the flags of commands that take a scope.
type scopeFlags struct{ module, method, group, caller string }

func (f *scopeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.module, "module", "", "the module, by `name`, in place of an argument: for one that has a dot in its name")
	flags.StringVar(&f.method, "method", "", "with --module, the method, by `name`")
	flags.StringVar(&f.group, "group", "", "only calls that name this `group` of the module")
	flags.StringVar(&f.caller, "caller", "", "only calls of this `module`")
	modules := func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return completeModules(cmd), cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc("module", modules) // it fails only for flags that do not exist
	_ = cmd.RegisterFlagCompletionFunc("caller", modules)
}

// read makes a scope of the argument, MODULE or MODULE.METHOD, and the flags. A name that can be read in two ways is not guessed at:
// the registry says what there is.
func (f *scopeFlags) read(ctx context.Context, client *adminclient.Client, args []string) (s scope, err error) {
	s = scope{module: f.module, method: f.method, group: f.group, caller: f.caller}
	switch {
	case len(args) > 0 && (f.module != "" || f.method != ""):
		return s, fmt.Errorf("%q stands beside --module and --method: it says the same, so give one of them", args[0])
	case f.method != "" && f.module == "":
		return s, errors.New("--method needs --module")
	case len(args) > 0:
		if s.module, s.method, err = splitTarget(ctx, client, args[0]); err != nil {
			return s, err
		}
	}
	switch {
	case s.group != "" && s.module == "":
		return s, errors.New("--group needs the module that the group is of")
	case s == scope{}:
		return s, errors.New("which calls? Name a method as fishtrade.SendRocket, a module as fishtrade, or --caller")
	}
	return s, nil
}

// splitTarget splits MODULE.METHOD at its last dot, for a method has none. A module may have one.
func splitTarget(ctx context.Context, client *adminclient.Client, name string) (module, method string, err error) {
	module, method, dotted := cutMethod(name)
	if !dotted {
		return name, "", nil
	}
	if module == "" || method == "" {
		return "", "", fmt.Errorf("%q is neither a method, as fishtrade.SendRocket, nor a module, as fishtrade", name)
	}
	known, _, err := client.MeshRegistry(ctx)
	if err != nil {
		return "", "", err
	}
	if !slices.ContainsFunc(known, func(m adminclient.Module) bool { return m.Module == name }) {
		return module, method, nil
	}
	return "", "", fmt.Errorf("%[1]s is a registered module, and may also mean the method %[3]s of module %[2]s: write --module %[1]s, or --module %[2]s --method %[3]s",
		output.Line(name), output.Line(module), output.Line(method))
}

// completeScope offers modules and methods for the first argument.
func completeScope(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	admin, err := cmd.Flags().GetString("admin")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	methods, how := completeMethod(cmd, admin, nil)
	return append(completeModules(cmd), methods...), how
}

// completeModules offers the modules that the node knows. A node that does not answer offers none.
func completeModules(cmd *cobra.Command) (names []string) {
	admin, err := cmd.Flags().GetString("admin")
	if err != nil {
		return nil
	}
	client, err := adminclient.New(admin)
	if err != nil {
		return nil
	}
	within(cmd, func(ctx context.Context) {
		modules, err := client.Registry(ctx)
		if err != nil {
			return
		}
		for _, m := range modules {
			names = append(names, m.Module)
		}
	})
	return names
}

// atMostOneTarget takes a target or none.
func atMostOneTarget(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%q is too much: one method or module, as fishtrade.SendRocket", strings.Join(args[1:], " "))
	}
	return nil
}
