package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/rpcclient-sdk"
)

func callerCommand() *cobra.Command {
	var m member
	var number, inFlight int
	cmd := &cobra.Command{
		Use: "caller", Short: "One caller, for the demo: a gift a line on stdin", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.call(cmd.Context(), cmd.InOrStdin(), number, inFlight)
		},
	}
	m.addFlags(cmd)
	cmd.Flags().IntVar(&number, "number", 1, "the caller's `number`, unique, part of the keys")
	cmd.Flags().IntVar(&inFlight, "in-flight", 1, "how many `calls` run at once")
	return cmd
}

// sender is a caller at work.
type sender struct {
	number int
	client *rpcclient.Client
	ledger *ledger
	gifts  chan gift

	// Guarded by mu.
	mu   sync.Mutex
	sent uint64
}

// call sends each gift that comes on stdin. At its end all are sent; after SIGTERM no further one is begun. It returns
// when the calls that are begun have ended.
func (m *member) call(ctx context.Context, stdin io.Reader, number, inFlight int) error {
	ctx, stop := untilTold(ctx)
	defer stop()
	l, err := openLedger(m.ledger)
	if err != nil {
		return err
	}
	defer l.close()
	connected := make(chan struct{})
	var once sync.Once
	client, err := rpcclient.Dial(m.nodes[0], rpcclient.Options{
		Module: moduleWeb, Instance: m.name, Addresses: m.nodes[1:],
		OnConnect: func(rpcclient.Connection) { once.Do(func() { close(connected) }) },
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it returns nil
	select {
	case <-connected:
	case <-ctx.Done():
		return nil
	}
	if err := writeReady(m.readyFile); err != nil {
		return err
	}
	s := &sender{number: number, client: client, ledger: l, gifts: make(chan gift)}
	var working sync.WaitGroup
	for range inFlight {
		working.Go(func() { s.work(ctx) })
	}
	read := make(chan error, 1)
	go func() {
		read <- s.read(ctx, stdin)
		close(s.gifts)
	}()
	working.Wait()
	select {
	case err = <-read:
		return err
	default: // it waits for stdin, and ends with the process
		return nil
	}
}

// read hands the gifts of stdin to the workers.
func (s *sender) read(ctx context.Context, stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		var g gift
		if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
			return fmt.Errorf("stdin: %w", err)
		}
		select {
		case s.gifts <- g:
		case <-ctx.Done():
			return nil
		}
	}
	return lines.Err()
}

// work sends one gift after the other.
func (s *sender) work(ctx context.Context) {
	for {
		select {
		case g, more := <-s.gifts:
			if !more {
				return
			}
			s.send(context.WithoutCancel(ctx), g) // what is begun is brought to its end
		case <-ctx.Done():
			return
		}
	}
}

// send makes one call: the intent is on record before the first byte leaves.
func (s *sender) send(ctx context.Context, g gift) {
	s.mu.Lock()
	s.sent++
	k := newKey(s.number, s.sent)
	s.mu.Unlock()
	mustWrite(s.ledger, record{Kind: kindInvoke, Key: k, Gift: g.ID, User: g.User, Room: g.Room, Amount: g.Amount})
	from := time.Now()
	var receipt rpcclient.Receipt
	reply, err := rpcclient.Call[sendReply](ctx, s.client, moduleTrade+".SendRocket",
		&sendRequest{Key: k, Gift: g}, rpcclient.Timeout(callTimeout), rpcclient.WantReceipt(&receipt))
	end := endOf(k, err, rpcclient.ErrNotExecuted, rpcclient.ErrExecuted, time.Since(from))
	end.Nodes = nodesOf(receipt.Hops)
	var failed *rpcclient.Error
	switch {
	case err == nil:
		end.Crossed = crossed(k, reply.Key)
	case errors.As(err, &failed):
		end.App = failed.AppCode
	}
	mustWrite(s.ledger, end)
}
