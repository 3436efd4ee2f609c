package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

func rulesExplainCommand() *cobra.Command {
	var f askFlags
	var whatIf bool
	cmd := &cobra.Command{
		Use:   "explain {RPC_ID | --what-if FACT=VALUE...}",
		Short: "Say which rules decide about a call, and why",
		Long: `Says which rules matched a call, which of them decided, and why; those in shadow, too.

With an RPC_ID it is a call that was refused in the last 10 minutes: the id stands in the error that the caller got. The
explanation is by the rules of now.

With --what-if it is a call that nobody has made, and nothing is counted. Facts: rpc=MODULE.METHOD (needed), caller=MODULE,
group=GROUP, ip=ADDRESS of the caller (without it: a unix socket), instance=INSTANCE of the caller, external=true.`,
		Example: `  twohop rules explain 4611686018427387904
  twohop rules explain --what-if caller=web rpc=fishtrade.SendRocket ip=10.0.0.7`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case whatIf && len(args) == 0:
				return errors.New("which call? As in: twohop rules explain --what-if caller=web rpc=fishtrade.SendRocket")
			case !whatIf && (len(args) != 1 || strings.Contains(args[0], "=")):
				return errors.New("want the id of one call, or with --what-if its facts, as: twohop rules explain --what-if caller=web rpc=fishtrade.SendRocket")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			if !whatIf {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"rpc=", "caller=", "group=", "ip=", "instance=", "external=true"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			if whatIf {
				return explainWhatIf(cmd, client, &f, args)
			}
			return explainMade(cmd, client, &f, args[0])
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&whatIf, "what-if", false, "explain a call that nobody has made, by its facts")
	return cmd
}

func explainMade(cmd *cobra.Command, client *adminclient.Client, f *askFlags, id string) error {
	if n, err := strconv.ParseUint(id, 10, 64); err != nil || n == 0 {
		return fmt.Errorf("%q is not the id of a call, must be a number, as it stands in the error that the caller got", id)
	}
	e, err := client.ExplainCall(cmd.Context(), id)
	if r, is := errors.AsType[*adminclient.RefusalError](err); is {
		warnUnheard(cmd.ErrOrStderr(), r.Unheard(), "the call may have been refused there")
	}
	if err != nil {
		return err
	}
	warnUnheard(cmd.ErrOrStderr(), e.Nodes, "what it has refused is missing here")
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), e)
	}
	for i := range e.Refusals {
		if err := printRefusal(cmd.OutOrStdout(), &e.Refusals[i]); err != nil {
			return err
		}
	}
	return nil
}

func printRefusal(w io.Writer, r *adminclient.Refused) error {
	by := "by no rule"
	if r.Rule != "" {
		by = fmt.Sprintf("by rule %s of version %s", r.Rule, adminclient.Mark{Epoch: r.RuleEpoch, Version: r.RuleVersion})
	}
	text := fmt.Sprintf("call %s of %s (%s) to %s was refused at node %s at %s: %s, %s", r.RPCID, r.Caller, from(r), method(r.Module, r.Method), r.Node,
		moment(r.At), codeOf(r), by)
	if _, err := fmt.Fprintln(w, output.Line(text)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, "such a call now:"); err != nil {
		return err
	}
	return lines(w, r.Text)
}

// from says where a call came from.
func from(r *adminclient.Refused) string {
	var parts []string
	if r.Instance != "" {
		parts = append(parts, r.Instance)
	}
	if r.IP != "" {
		parts = append(parts, r.IP)
	} else {
		parts = append(parts, "a unix socket")
	}
	return strings.Join(parts, " at ")
}

// codeOf names a status code.
func codeOf(r *adminclient.Refused) string {
	if r.CodeName != "" {
		return r.CodeName
	}
	return "code " + strconv.Itoa(r.Code)
}

// method writes the full name of a method, or of a module.
func method(module, method string) string {
	if method == "" {
		return module
	}
	return module + "." + method
}

func explainWhatIf(cmd *cobra.Command, client *adminclient.Client, f *askFlags, args []string) error {
	facts, err := readFacts(args)
	if err != nil {
		return err
	}
	e, err := client.ExplainWhatIf(cmd.Context(), facts)
	switch {
	case err != nil:
		return err
	case f.asJSON:
		return output.JSON(cmd.OutOrStdout(), e)
	}
	return lines(cmd.OutOrStdout(), e.Text)
}

// readFacts reads the facts of a call.
func readFacts(args []string) (map[string]string, error) {
	facts := make(map[string]string)
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("%q is no fact, must be FACT=VALUE, as caller=web", arg)
		}
		if _, twice := facts[key]; twice {
			return nil, fmt.Errorf("%s stands twice", key)
		}
		switch key {
		case "rpc":
			module, method, dotted := cutMethod(value)
			if !dotted || module == "" || method == "" {
				return nil, fmt.Errorf("rpc is %q, must be MODULE.METHOD, as fishtrade.SendRocket", value)
			}
			facts["module"], facts["method"] = module, method
		case "ip":
			if _, err := netip.ParseAddr(value); err != nil {
				return nil, fmt.Errorf("ip is %q, must be an address, as 10.0.0.7", value)
			}
		case "external":
			if value != "true" && value != "false" {
				return nil, fmt.Errorf("external is %q, must be true or false", value)
			}
		case "caller", "group", "instance":
		default:
			return nil, fmt.Errorf("%q is no fact, only rpc, caller, group, ip, instance, external", key)
		}
		facts[key] = value
	}
	if facts["rpc"] == "" {
		return nil, errors.New("rpc is missing: a call goes to a method, as rpc=fishtrade.SendRocket")
	}
	delete(facts, "rpc")
	return facts, nil
}

func rulesRefusedCommand() *cobra.Command {
	var f askFlags
	var caller, rpc, rule string
	var limit int
	cmd := &cobra.Command{
		Use:   "refused",
		Short: "List the calls that rules have refused lately",
		Long: `Lists calls that rules have refused in the last 10 minutes, at all nodes, the newest first: who called what, which rule refused it
and with which status. A node keeps the last 16,384.`,
		Example: `  twohop rules refused
  twohop rules refused --rpc fishtrade.SendRocket --caller web --limit 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return fmt.Errorf("--limit is %d, must be 1 to 1000", limit)
			}
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			filter := map[string]string{"caller": caller, "rule": rule, "limit": strconv.Itoa(limit)}
			if rpc != "" {
				if filter["module"], filter["method"], err = splitTarget(cmd.Context(), client, rpc); err != nil {
					return err
				}
			}
			refused, nodes, err := client.Refused(cmd.Context(), filter)
			if err != nil {
				return err
			}
			warnUnheard(cmd.ErrOrStderr(), nodes, "what it has refused is missing here")
			if f.asJSON {
				return output.JSON(cmd.OutOrStdout(), refused)
			}
			if len(refused) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no such call was refused by a rule in the last 10 minutes")
				return err
			}
			var rows [][]string
			for i := range refused {
				r := &refused[i]
				rows = append(rows, []string{moment(r.At), r.Node, r.RPCID, r.Caller, r.IP, method(r.Module, r.Method), r.Group, codeOf(r), r.Rule})
			}
			return output.Table(cmd.OutOrStdout(), []string{"AT", "NODE", "RPC ID", "CALLER", "ADDRESS", "METHOD", "GROUP", "STATUS", "RULE"}, rows)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&caller, "caller", "", "only calls of this `module`")
	flags.StringVar(&rpc, "rpc", "", "only calls to this `method`, as fishtrade.SendRocket, or to this module")
	flags.StringVar(&rule, "rule", "", "only calls that the rule with this `id` has refused")
	flags.IntVar(&limit, "limit", 50, "how `many`, 1 to 1000")
	_ = cmd.RegisterFlagCompletionFunc("rpc", func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return completeScope(cmd, nil, text)
	})
	_ = cmd.RegisterFlagCompletionFunc("caller", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return completeModules(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}
