package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a caller prints: a line when the window begins and one when it ends, so that who started it reads clocks, and its figures.
const (
	lineBegin = "begin"
	lineEnd   = "end"
)

// figures are what one caller measured.
type figures struct {
	CallsPerSecond float64 `json:"calls_per_s"`
	P50            float64 `json:"p50_us"`
	P99            float64 `json:"p99_us"`
	P999           float64 `json:"p999_us"`
}

// playCaller makes calls in a closed loop: each answer is followed by the next call.
func playCaller(ctx context.Context, args []string) error {
	var p point
	flags := flag.NewFlagSet("caller", flag.ContinueOnError)
	peer, target := flags.String("peer", "", ""), flags.String("target", "", "")
	flags.IntVar(&p.payload, "payload", 0, "")
	flags.IntVar(&p.inFlight, "inflight", 0, "")
	flags.IntVar(&p.conns, "conns", 0, "")
	warm, window := flags.Duration("warm", 0, ""), flags.Duration("window", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := find(*peer)
	if err != nil {
		return err
	}
	var calls []echo
	for range p.conns {
		call, hangUp, err := l.dial(*target)
		if err != nil {
			return err
		}
		defer hangUp()
		calls = append(calls, call)
	}
	body := make([]byte, p.payload)
	for i := range body {
		body[i] = byte(i)
	}
	for _, call := range calls {
		if err := eventually(ctx, func() error { return once(ctx, call, body) }); err != nil {
			return fmt.Errorf("the first call: %w", err)
		}
	}
	f, err := loop(ctx, calls, p.inFlight, body, *warm, *window)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		return err
	}
	untilStdinEnds(ctx) // so long there is something to read clocks of
	return nil
}

// once makes one call and looks at its answer.
func once(ctx context.Context, call echo, body []byte) error {
	answer, err := call(ctx, body)
	if err == nil && !bytes.Equal(answer, body) {
		err = fmt.Errorf("the answer has %d bytes and is not the request's %d", len(answer), len(body))
	}
	return err
}

// eventually tries until there is no error, for ten seconds.
func eventually(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// loop keeps inFlight calls in flight, and measures those that end in the window.
func loop(ctx context.Context, calls []echo, inFlight int, body []byte, warm, window time.Duration) (figures, error) {
	begin := time.Now().Add(warm)
	end := begin.Add(window)
	var all sync.WaitGroup
	took := make([][]time.Duration, inFlight)
	failed := make([]error, inFlight)
	for i := range inFlight {
		took[i] = make([]time.Duration, 0, 1<<14)
		all.Go(func() {
			call := calls[i%len(calls)]
			for now := time.Now(); now.Before(end); {
				if err := once(ctx, call, body); err != nil {
					failed[i] = err
					return
				}
				from := now
				if now = time.Now(); !now.Before(begin) && !now.After(end) {
					took[i] = append(took[i], now.Sub(from))
				}
			}
		})
	}
	time.Sleep(time.Until(begin))
	fmt.Println(lineBegin)
	time.Sleep(time.Until(end))
	fmt.Println(lineEnd)
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return figures{}, err
	}
	h := hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)
	for _, t := range slices.Concat(took...) {
		if err := h.RecordValue(int64(t)); err != nil {
			return figures{}, err
		}
	}
	if h.TotalCount() == 0 {
		return figures{}, fmt.Errorf("no call ended in %v", window)
	}
	us := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1e3 }
	return figures{float64(h.TotalCount()) / window.Seconds(), us(50), us(99), us(99.9)}, nil
}
