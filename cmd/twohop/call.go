package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/config"
	"github.com/twohop/twohop/rpcclient-sdk"
)

const defaultAddress = "127.0.0.1:7070"

// callFlags are the flags of call.
type callFlags struct {
	address, module, secretFile, admin string
	keyID                              uint32
	timeout                            time.Duration
	group, instance, balance, hashKey  string
	idempotent, runLate, raw           bool
	metadata                           []string
	asJSON, verbose                    bool
	password                           passwordFlags
}

func callCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call MODULE.METHOD [BODY]",
		Short: "Call a method and print its answer",
		Long: `Calls a method through a node and prints the body of the answer: JSON indented, anything else as it came.

BODY is JSON on the command line, @file, or - for stdin; without it nothing is sent. --raw sends bytes of any form and prints
the answer untouched. -v says on stderr who answered and how long it took; --json prints one object with all of it.

Exit codes say what happened to the handler, so that a script knows whether it may call again:
  0   it ran, and this is its answer
  1   the command line is wrong; nothing was sent
  10  NOT_EXECUTED: it did not run and will not; calling again is safe
  11  EXECUTED: it ran, and failed
  12  UNKNOWN: it may have run`,
		Example: `  twohop call hello.Say '{"name": "Ada"}'
  twohop call shop.Buy @order.json --timeout 2s --meta traceparent=00-4bf92f35-01 -v
  echo '{"key": 7}' | twohop call cache.Get - --hash-key 7 --idempotent --json
  twohop call pay.Refund @refund.json --password-key 1 --password-file refund.password`,
		Args: methodAndBody,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeMethod(cmd, f.admin, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return call(cmd, &f, args) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.address, "address", "a", defaultAddress, "the node: `host:port` or unix:/path; several with commas")
	flags.StringVar(&f.module, "module", "cli", "the `name` that this call is made under")
	flags.StringVar(&f.secretFile, "secret-file", "", "`file` with the secret of that module, which others cannot read")
	flags.Uint32Var(&f.keyID, "key-id", 0, "`number` of that secret")
	f.password.add(cmd)
	flags.DurationVarP(&f.timeout, "timeout", "t", 10*time.Second, "the `time` that the call has")
	flags.StringVar(&f.group, "group", "", "leave the choice to the instances of one `group`")
	flags.StringVar(&f.instance, "instance", "", "the one instance that may run it, by `name`")
	flags.StringVar(&f.balance, "balance", "", "how the instance is chosen: `random`, round_robin, hash or least_active")
	flags.StringVar(&f.hashKey, "hash-key", "", "calls with one `key` go to one instance")
	flags.BoolVar(&f.idempotent, "idempotent", false, "it may run twice; the method's contract must say so, too")
	flags.BoolVar(&f.runLate, "run-late", false, "run it although its time is up when it gets to the handler")
	flags.BoolVar(&f.raw, "raw", false, "send the body as bytes, and print the answer untouched")
	flags.StringArrayVarP(&f.metadata, "meta", "m", nil, "one entry of metadata, `key=value`; may be repeated")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object with everything that is known")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say on stderr who answered, and how long it took")
	flags.StringVar(&f.admin, "admin", defaultAdmin, "the node's admin address, `host:port`, for the completion of names")
	_ = cmd.RegisterFlagCompletionFunc("balance", cobra.FixedCompletions(balancerNames, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func methodAndBody(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("which method? As in: twohop call hello.Say '{\"name\": \"Ada\"}'")
	case len(args) > 2:
		return fmt.Errorf("%q is too much: a method and one body, which needs quotes around it", args[2])
	}
	if module, method, ok := cutMethod(args[0]); !ok || module == "" || method == "" {
		return fmt.Errorf("%q is not a method: it must be MODULE.METHOD, as hello.Say", args[0])
	}
	return nil
}

// cutMethod splits a full name at its last dot: methods have none.
func cutMethod(name string) (module, method string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

var (
	balancerNames = []string{"random", "round_robin", "hash", "least_active"}
	balancers     = map[string]rpcclient.Balancer{
		"random": rpcclient.Random, "round_robin": rpcclient.RoundRobin, "hash": rpcclient.Hash, "least_active": rpcclient.LeastActive,
	}
)

// options translates the flags.
func (f *callFlags) options() (options []rpcclient.CallOption, err error) {
	add := func(is bool, o rpcclient.CallOption) {
		if is {
			options = append(options, o)
		}
	}
	if f.timeout <= 0 {
		return nil, fmt.Errorf("--timeout is %v, must be more than 0", f.timeout)
	}
	add(true, rpcclient.Timeout(f.timeout))
	add(f.group != "", rpcclient.Group(f.group))
	add(f.instance != "", rpcclient.Instance(f.instance))
	add(f.hashKey != "", rpcclient.HashKey(f.hashKey))
	add(f.idempotent, rpcclient.Idempotent())
	add(f.runLate, rpcclient.RunLate())
	if f.balance == "hash" && f.hashKey == "" {
		return nil, errors.New("--balance hash needs --hash-key")
	}
	if f.balance != "" {
		b, ok := balancers[f.balance]
		if !ok {
			return nil, fmt.Errorf("--balance is %q, must be %s", f.balance, strings.Join(balancerNames, ", "))
		}
		add(true, rpcclient.Balance(b))
	}
	for _, entry := range f.metadata {
		key, value, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--meta is %q, must be key=value", entry)
		}
		add(true, rpcclient.Metadata(key, value))
	}
	return options, nil
}

// call makes the call and prints how it ended.
func call(cmd *cobra.Command, f *callFlags, args []string) error {
	body, err := readBody(cmd.InOrStdin(), args[1:], f.raw)
	if err != nil {
		return err
	}
	options, err := f.options()
	if err != nil {
		return err
	}
	if !f.raw && body != nil {
		options = append(options, rpcclient.ContentType("application/json"))
	}
	switch password, err := f.password.read(cmd); {
	case err != nil:
		return err
	case password != nil:
		options = append(options, password)
	}
	secret := ""
	if f.secretFile != "" {
		if secret, err = config.ReadSecret(f.secretFile); err != nil {
			return fmt.Errorf("--secret-file: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := result{Method: args[0], raw: f.raw}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	log := slog.New(slog.DiscardHandler)
	if f.verbose {
		log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	door := newDoor(f.address, end)
	client, err := rpcclient.Dial(f.address, rpcclient.Options{
		Module: f.module, Secret: secret, KeyID: f.keyID, Lifetime: rpcclient.Short, Logger: log, Dial: door.dial,
		OnConnect: r.connected,
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it returns nil
	start := time.Now()
	r.body, err = client.CallRaw(ctx, args[0], body, append(options, rpcclient.WantReceipt(&r.receipt))...)
	r.total = time.Since(start)
	r.end(err, context.Cause(ctx), client.State())
	return r.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), f)
}

// maxBody is what is read of a body; nodes take no more.
const maxBody = 16 << 20

// readBody returns what is to be sent; nil is nothing.
func readBody(stdin io.Reader, args []string, raw bool) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	var body []byte
	var err error
	from := "the body"
	switch file, is := strings.CutPrefix(args[0], "@"); {
	case args[0] == "-":
		from = "stdin"
		body, err = io.ReadAll(io.LimitReader(stdin, maxBody+1))
	case is:
		from = file
		var f *os.File
		if f, err = os.Open(file); err == nil { //nolint:gosec // the user names it
			defer f.Close()
			body, err = io.ReadAll(io.LimitReader(f, maxBody+1))
		}
	default:
		body = []byte(args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("the body: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%s has more than %d bytes, and nodes take no more", from, maxBody)
	}
	if !raw {
		if err := checkJSON(body); err != nil {
			return nil, fmt.Errorf("%s is not JSON (%w): put quotes around it, or use --raw to send bytes", from, err)
		}
	}
	return body, nil
}
