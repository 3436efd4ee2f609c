package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// playIdle opens connections, says so, and does nothing until its stdin ends: PEER TARGET COUNT.
func playIdle(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("idle wants PEER TARGET COUNT, got %q", args)
	}
	l, err := find(args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	// Some at once, and no more than a node lets in: it takes 500 logins a second.
	var (
		all    sync.WaitGroup
		failed = make(chan error, count)
		turns  = make(chan struct{}, 16)
		pace   = time.NewTicker(time.Second / 400)
	)
	for range count {
		<-pace.C
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			call, _, err := l.dial(args[1])
			if err == nil {
				err = eventually(ctx, func() error { return once(ctx, call, []byte("hello")) })
			}
			if err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Fprintln(os.Stdout, lineBegin)
	untilStdinEnds(ctx)
	return nil
}
