package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

const minInterval = 100 * time.Millisecond

func topCommand() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch which methods are called, how often, how fast, and by whom",
		Long: `Shows a line for every method of the mesh, the busiest first: calls that came in per second over the last 1, 10 and 60 seconds; those
in flight; how long calls took (p50, p99); and of those that ended in the last one to two minutes how many succeeded, were not
executed, failed, or ended unknown. --by module, caller and caller-method add up other lines.

--by node-load shows a line for every node, over the last interval: calls that entered there and were answered per second; how
many of the attempts went to a session of the node itself (one hop) and how many over a link (two hops); answers that were no
success, per second and by class; calls in flight, sessions, instances, links that are up; processor and memory.

--callers METHOD shows who calls it. --from shows a past time in place of now: --step makes a line for each part of it.

On a terminal the table is drawn again and again, until q or Ctrl-C. Keys: m methods, o modules, c callers, n nodes; < and >
change what is sorted by. Elsewhere it is printed once per interval. Any node answers for all.`,
		Example: `  twohop top
  twohop top --by caller --module fishtrade --sort p99
  twohop top --once --json
  twohop top --by node-load --once --interval 5s
  twohop top --callers fishtrade.SendRocket
  twohop top --from 2026-11-20T10:00:00Z --to 2026-11-20T11:00:00Z --step 10m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			client, err := adminclient.New(f.admin)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			switch {
			case f.callers != "":
				return f.showCallers(ctx, cmd, client)
			case f.from != "":
				return f.showPast(ctx, cmd, client)
			}
			t := &top{out: cmd.OutOrStdout(), errors: cmd.ErrOrStderr(), once: f.once, asJSON: f.asJSON}
			if t.live = isTerminal(t.out) && !f.once && !f.asJSON; t.live {
				end, restore := watchKeys(cmd.InOrStdin())
				defer restore()
				t.keys = end
			}
			t.source = f.source(ctx, client, t)
			ticker := time.NewTicker(f.interval)
			defer ticker.Stop()
			t.again = func() { ticker.Reset(f.interval) }
			return t.run(ctx, ticker.C)
		},
	}
	f.add(cmd)
	return cmd
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// page is what top shows at once; its JSON is what it says.
type page interface{ print(w io.Writer) error }

// source is what top reads. It is used by one goroutine.
type source interface {
	// read returns nil, and no error, if there is nothing to show before the next reading.
	read() (page, error)
	// key reports whether the source shows something else from now on.
	key(key byte) bool
}

// top reads and shows. Its fields are static once it runs.
type top struct {
	source       source
	out, errors  io.Writer
	once, asJSON bool
	live         bool
	keys         <-chan byte // of the keyboard; may be nil
	again        func()      // has the next tick come a whole interval from now
}

// What a terminal understands: another screen and back, and drawing over what is there.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseRight  = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// run shows one table per tick, until ctx is done, q is pressed, or after the first with once. A node that stops answering
// is asked again; one that does not answer at first is an error.
func (t *top) run(ctx context.Context, ticks <-chan time.Time) error {
	first, err := t.source.read()
	if err != nil {
		return err
	}
	if t.live {
		_, _ = io.WriteString(t.out, enterScreen) // if nobody reads it, a signal says so
		defer func() { _, _ = io.WriteString(t.out, leaveScreen) }()
		t.draw("reading…\n")
	}
	if first != nil {
		if err := t.show(first); err != nil || t.once {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-t.keys:
			if key == 'q' || key == 'Q' || key == 3 {
				return nil
			}
			if !t.source.key(key) {
				continue
			}
			t.again() // rates are differences, and over an instant they would be anything
		case <-ticks:
		}
		now, err := t.source.read()
		switch {
		case ctx.Err() != nil:
			return nil // the reading was ended with it
		case err != nil && t.once:
			return err
		case err != nil:
			t.fail(err)
		case now == nil:
			t.draw("reading…\n")
		default:
			if err := t.show(now); err != nil || t.once {
				return err
			}
		}
	}
}

func (t *top) draw(text string) {
	if !t.live {
		return
	}
	text = home + strings.ReplaceAll(text, "\n", eraseRight+"\n") + eraseBelow
	_, _ = io.WriteString(t.out, text) // if nobody reads it, a signal says so
}

func (t *top) fail(err error) {
	if t.live {
		t.draw(output.Line(err.Error()) + "\n")
		return
	}
	_, _ = fmt.Fprintln(t.errors, "twohop:", err) // there is nobody else to tell
}

func (t *top) show(p page) error {
	switch {
	case t.asJSON && t.once:
		return output.JSON(t.out, p)
	case t.asJSON:
		return json.NewEncoder(t.out).Encode(p)
	}
	var text strings.Builder
	if err := p.print(&text); err != nil {
		return err
	}
	if t.live {
		t.draw(text.String() + "\nm methods, o modules, c callers, n nodes, < > sort, q or Ctrl-C ends\n")
		return nil
	}
	if !t.once {
		text.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, text.String())
	if errors.Is(err, syscall.EPIPE) {
		return nil // who read it has enough
	}
	return err
}
