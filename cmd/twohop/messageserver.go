package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/messageserver"
)

func messageserverCommand() *cobra.Command {
	var check bool
	var readyFile, logFormat, logLevel string
	cmd := &cobra.Command{
		Use:     "messageserver",
		Aliases: []string{"node"},
		Short:   "Run a node",
		Long: `Runs a node: modules connect to --listen, operators look at it through --admin.

Without a file it listens on loopback and asks for no secrets. SIGINT or SIGTERM drains: no new session and no new call is
taken, calls in flight end, sessions move away. A second signal stops at once.

Options come from the file, then the environment (TWOHOP_SESSION_DEAD for session.dead), then flags; the later one wins.
` + "`twohop config print`" + ` shows all keys. Everything that is wrong is listed at once, and the node does not start.`,
		Example: `  twohop messageserver
  twohop messageserver --node a --listen 127.0.0.1:0 --admin 127.0.0.1:0 --ready-file a.json
  twohop messageserver --config /etc/twohop/messageserver.yaml --check-config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd.ErrOrStderr(), logFormat, logLevel)
			if err != nil {
				return err
			}
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			if check {
				if err := c.Options.WithDefaults().CheckFiles(); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the configuration is valid")
				return err
			}
			c.Options.Log = log
			watch := newConfigWatch(cmd, c)
			c.Options.Troubles = watch.troubles
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go watch.run(ctx)
			return serve(ctx, c.Options, readyFile)
		},
	}
	addConfigFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&check, "check-config", false, "say whether the configuration is valid, and end")
	flags.StringVar(&readyFile, "ready-file", "", "`file` that has the node's addresses as JSON while it serves")
	flags.StringVar(&logFormat, "log-format", "text", "`text` or json")
	flags.StringVar(&logLevel, "log-level", "info", "`debug`, info, warn or error")
	return cmd
}

// logger writes events to w.
func logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q, must be debug, info, warn or error", level)
	}
	options.Level = least
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &options)), nil
	default:
		return nil, fmt.Errorf("--log-format is %q, must be text or json", format)
	}
}

// errStopped is the end of a node that was not given the time to drain.
var errStopped = errors.New("stopped at the second signal: calls in flight were cut off")

// serve runs a node until a signal has it drained, or a second one.
func serve(ctx context.Context, o messageserver.Options, readyFile string) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	node, err := messageserver.New(o) //nolint:contextcheck // opening listeners takes no time
	if err != nil {
		return err
	}
	if readyFile != "" {
		if err := writeReady(readyFile, node); err != nil {
			_ = node.Close()
			return err
		}
		defer func() { _ = os.Remove(readyFile) }() // somebody else may have done it
	}
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-signals:
		drain()
	}
	select {
	case err := <-ended:
		return err
	case <-signals:
		return errStopped // what still runs ends with the process
	}
}

// writeReady tells where the node listens. The file is whole as soon as it is there.
func writeReady(file string, node *messageserver.Server) error {
	text, err := json.Marshal(struct {
		Node   string `json:"node"`
		Listen string `json:"listen"`
		Admin  string `json:"admin"`
		Peers  string `json:"peers,omitempty"`
		PID    int    `json:"pid"`
	}{node.Node(), node.Addr(), node.AdminAddr(), node.PeerAddr(), os.Getpid()})
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	_, err = temp.Write(append(text, '\n'))
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}
