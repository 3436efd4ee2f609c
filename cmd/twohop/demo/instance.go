package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/rpcserver-sdk"
)

// exit ends the process. For what must not go on.
var exit = os.Exit

// member is what every process of the demo that is no node is told.
type member struct {
	name, module string
	nodes        []string
	ledger       string
	readyFile    string
}

func (m *member) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.name, "name", "", "the `name` of the process")
	cmd.Flags().StringSliceVar(&m.nodes, "nodes", nil, "`addresses` of the mesh")
	cmd.Flags().StringVar(&m.ledger, "ledger", "", "`file` that records are appended to")
	cmd.Flags().StringVar(&m.readyFile, "ready-file", "", "`file` that is there when the process is connected")
}

func instanceCommand() *cobra.Command {
	var m member
	var work time.Duration
	cmd := &cobra.Command{
		Use: "instance", Short: "One instance of fishtrade or rank, for the demo", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.serve(cmd.Context(), cmd.InOrStdin(), work) },
	}
	m.addFlags(cmd)
	cmd.Flags().StringVar(&m.module, "module", "", "`module`: fishtrade or rank")
	cmd.Flags().DurationVar(&work, "work", 0, "how long each handler takes")
	return cmd
}

// serve runs an instance until SIGTERM, or until stdin ends: then whoever started it is gone.
func (m *member) serve(ctx context.Context, stdin io.Reader, work time.Duration) error {
	ctx, stop := untilTold(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()
	l, err := openLedger(m.ledger)
	if err != nil {
		return err
	}
	defer l.close()
	o := rpcserver.Options{Module: m.module, Instance: m.name, Addresses: m.nodes}
	var methods interface{ offer(s *rpcserver.Server) }
	switch m.module {
	case moduleTrade:
		o.Needs = []string{moduleRank}
		methods = &trade{name: m.name, ledger: l, work: work}
	case moduleRank:
		methods = &rank{ledger: l, work: work}
	default:
		return fmt.Errorf("--module is %q, must be %s or %s", m.module, moduleTrade, moduleRank)
	}
	s := rpcserver.New(o)
	methods.offer(s)
	go func() {
		err := s.WaitReady(ctx)
		if err == nil {
			err = writeReady(m.readyFile)
		}
		if err != nil && ctx.Err() == nil {
			slog.Error("the instance does not get ready", "cause", err)
			stop()
		}
	}()
	return s.Run(ctx)
}

// untilTold returns a context that SIGTERM ends. The signal is not given back: it may come once more while the process ends,
// and must not cut that off.
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		<-told
		stop()
	}()
	return ctx, stop
}

// writeReady makes the file that says that the process is ready.
func writeReady(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600) //nolint:gosec // the demo names it
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return file.Close()
}
