package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

const minInterval = 100 * time.Millisecond

func topCommand() *cobra.Command {
	var admin string
	var interval time.Duration
	var once, asJSON bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch how busy the nodes of the mesh are",
		Long: `Shows a line for every node, over the last interval: calls that entered there and were answered per second; how many of the
attempts went to a session of the node itself (one hop) and how many over a link (two hops); answers that were no success,
per second and by class; calls in flight, sessions, instances, links that are up; processor and memory.

On a terminal the table is drawn again and again, until q or Ctrl-C; elsewhere it is printed once per interval. Any node
answers for all.`,
		Example: `  twohop top
  twohop top --once
  twohop top --once --json --interval 5s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minInterval {
				return fmt.Errorf("--interval is %v, must be at least %v", interval, minInterval)
			}
			client, err := adminclient.New(admin)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			t := &top{
				read: func() (adminclient.Loads, error) { return client.Loads(ctx, true) },
				out:  cmd.OutOrStdout(), errors: cmd.ErrOrStderr(), once: once, asJSON: asJSON,
			}
			if t.live = isTerminal(t.out) && !once && !asJSON; t.live {
				end, restore := watchKeys(cmd.InOrStdin())
				defer restore()
				t.keys = end
			}
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			return t.run(ctx, ticker.C)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&admin, "admin", defaultAdmin, "where the operators of one of the nodes connect, `host:port`")
	flags.DurationVar(&interval, "interval", 2*time.Second, "the `time` between two readings")
	flags.BoolVar(&once, "once", false, "print one table, after one interval, and end")
	flags.BoolVar(&asJSON, "json", false, "print JSON, one object a line; with --once indented")
	return cmd
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// top reads and shows. Its fields are static once it runs.
type top struct {
	read         func() (adminclient.Loads, error)
	out, errors  io.Writer
	once, asJSON bool
	live         bool
	keys         <-chan byte // of the keyboard; may be nil
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
	before, err := t.read()
	if err != nil {
		return err
	}
	if t.live {
		_, _ = io.WriteString(t.out, enterScreen) // if nobody reads it, a signal says so
		defer func() { _, _ = io.WriteString(t.out, leaveScreen) }()
		t.draw("reading…\n")
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-t.keys:
			if key == 'q' || key == 'Q' || key == 3 {
				return nil
			}
			continue
		case <-ticks:
		}
		now, err := t.read()
		switch {
		case ctx.Err() != nil:
			return nil // the reading was ended with it
		case err != nil && t.once:
			return err
		case err != nil:
			t.fail(err)
			continue
		}
		if err := t.show(rates(before, now)); err != nil || t.once {
			return err
		}
		before = now
	}
}

func (t *top) draw(text string) {
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

func (t *top) show(r reading) error {
	switch {
	case t.asJSON && t.once:
		return output.JSON(t.out, r)
	case t.asJSON:
		return json.NewEncoder(t.out).Encode(r)
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		return err
	}
	if t.live {
		t.draw(text.String() + "\nq or Ctrl-C ends\n")
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
