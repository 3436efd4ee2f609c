package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// pace spreads gifts over time.
type pace struct {
	every time.Duration // 0: no pause
	due   time.Time     // of the next gift
}

func newPace(rate int, now time.Time) *pace {
	p := &pace{due: now}
	if rate > 0 {
		p.every = time.Second / time.Duration(rate)
	}
	return p
}

// maxBehind bounds how much is caught up on after a pause in which nobody took gifts.
const maxBehind = 100 * time.Millisecond

// next returns how long to wait before the next gift.
func (p *pace) next(now time.Time) time.Duration {
	if p.every == 0 {
		return 0
	}
	if behind := now.Sub(p.due); behind > maxBehind {
		p.due = now.Add(-maxBehind)
	}
	pause := p.due.Sub(now)
	p.due = p.due.Add(p.every)
	if pause < time.Millisecond {
		return 0 // timers are no finer
	}
	return pause
}

// feed hands gifts out to whoever takes the next one, until the input is over (nil), ctx is done (nil), or it fails.
// The writers are the callers' stdin.
func feed(ctx context.Context, in *input, o *Options, to []io.WriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gifts := make(chan gift)
	written := make(chan error, len(to))
	for _, w := range to {
		go func() {
			err := write(ctx, gifts, w)
			if err != nil {
				cancel()
			}
			written <- err
		}()
	}
	err := read(ctx, in, o, gifts)
	close(gifts)
	for range to {
		select {
		case broken := <-written:
			if broken != nil {
				err = errors.Join(err, fmt.Errorf("a caller takes no more gifts: %w", broken))
			}
		case <-ctx.Done(): // a caller that takes nothing any more is told to end, and then its writer does
		}
	}
	return err
}

// read sends the gifts of the input at the rate.
func read(ctx context.Context, in *input, o *Options, gifts chan<- gift) error {
	p := newPace(o.Rate, time.Now())
	for {
		good := in.good
		for {
			g, err := in.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if pause := p.next(time.Now()); pause > 0 && !wait(ctx, pause) {
				return nil
			}
			select {
			case gifts <- g:
			case <-ctx.Done():
				return nil
			}
		}
		if !o.repeat() || !in.again || in.good == good {
			return nil
		}
		if err := in.rewind(); err != nil {
			return err
		}
	}
}

// write writes gifts, a line each.
func write(ctx context.Context, gifts <-chan gift, to io.Writer) error {
	encoder := json.NewEncoder(to)
	for {
		select {
		case g, more := <-gifts:
			if !more {
				return nil
			}
			if err := encoder.Encode(g); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
