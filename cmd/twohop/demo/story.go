package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// story is one run of the demo.
type story struct {
	// Static after construction.
	opts      Options
	screen    *screen
	in        *input
	directory string
	family    *family
	cast      *cast
	books     *books
	table     *table

	chaos *chaos     // nil: nobody is killed
	fail  chan error // what went wrong beside the story
	from  time.Time  // when the first gift was sent
	sent  time.Duration
}

// Run tells the story. The error says what is wrong with the options or the input, what went wrong, or that there are lies;
// nothing that was started is left when it returns.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	s := &story{opts: o, books: newBooks(), fail: make(chan error, 1)}
	s.screen = &screen{out: o.Out, errors: o.Errors, live: o.Live && !o.JSON, quiet: o.JSON}
	var err error
	// Before there is anything to clean up, so that Ctrl-C ends the wait for a slow stdin.
	if s.in, err = openInput(o.Input, o.Stdin, s.screen.warnf); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if s.directory, err = os.MkdirTemp("", "twohop-demo-"); err != nil {
		return err
	}
	defer s.clean()
	if s.family, err = newFamily(s.directory); err != nil {
		return err
	}
	defer s.family.close()
	defer s.listen(stop)()
	return s.tell(ctx)
}

// clean removes what was written, unless it is to be kept.
func (s *story) clean() {
	if s.opts.Keep {
		s.screen.warnf("ledgers and logs are kept in %s", s.directory)
		return
	}
	if err := os.RemoveAll(s.directory); err != nil {
		s.screen.warnf("%v", err)
	}
}

// report keeps what went wrong beside the story, the first of it.
func (s *story) report(err error) {
	select {
	case s.fail <- err:
	default:
	}
}

// tell is the story: start, send, end, judge.
func (s *story) tell(ctx context.Context) error {
	s.cast = newCast(s.family, s.directory, &s.opts)
	for i := range perModule {
		s.books.open(s.directory, numbered(moduleWeb, i), moduleWeb)
	}
	for _, i := range s.cast.instances {
		s.books.open(s.directory, i.name, i.role)
	}
	if err := s.cast.start(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("demo: a signal ended it before the first gift")
		}
		return err
	}
	s.screen.sayf("twohop demo: gifts from %s; %s, each a process", s.in.name, s.cast)
	s.screen.sayf("look inside with: twohop ps --admin %s (or links, mesh, top)", s.cast.places[0].admin)
	if s.opts.Chaos {
		seed := s.opts.Seed
		if seed == 0 {
			seed = uint64(rand.Uint32()) + 1 //nolint:gosec // any other one does as well
		}
		s.chaos = startChaos(ctx, s.cast, seed, s.report)
		s.screen.sayf("chaos kills a node or an instance every one or two seconds; --seed %d repeats its plan", seed)
		if s.opts.JSON {
			s.screen.warnf("chaos: --seed %d repeats its plan", seed)
		}
	}
	s.table = &table{books: s.books, cast: s.cast, chaos: s.chaos}
	s.from = time.Now()
	trouble := s.send(ctx)
	s.sent = time.Since(s.from)
	if s.chaos != nil {
		s.chaos.stop()
	}
	trouble = errors.Join(trouble, s.cast.leave())
	s.family.close()
	s.report(nil) // unless there is something
	return s.judge(errors.Join(s.family.deaths(), trouble, <-s.fail, s.books.read()))
}

// redraw is how often the table is new; a log gets every other line.
const redraw = 500 * time.Millisecond

// send has gifts sent until there is a reason to end: the input, the time, a signal, or something that broke, which is the
// error.
func (s *story) send(ctx context.Context) error {
	if s.opts.For > 0 {
		bounded, cancel := context.WithTimeout(ctx, s.opts.For)
		defer cancel()
		ctx = bounded
	}
	pipes := make([]io.WriteCloser, 0, len(s.cast.callers))
	for _, p := range s.cast.callers {
		pipes = append(pipes, p.stdin)
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, s.in, &s.opts, pipes) }()
	var ended <-chan struct{}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for n := 1; ; {
		select {
		case <-tick.C:
			if err := s.show(n); err != nil {
				return err
			}
			n++
		case err := <-fed:
			if err != nil {
				return err
			}
			s.family.expect(s.cast.callers...)
			for _, p := range pipes {
				_ = p.Close() // its reader may be gone
			}
			ended = s.cast.ended()
		case <-ended:
			return nil
		case <-s.family.lost:
			return nil // deaths has the cause
		case err := <-s.fail:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// show shows what the ledgers have now. n counts the calls of it.
func (s *story) show(n int) error {
	if s.opts.JSON && n%4 != 0 { // nobody looks: it is read so that there is less to read at the end
		return nil
	}
	if err := s.books.read(); err != nil {
		return err
	}
	elapsed := time.Since(s.from)
	switch {
	case s.screen.live:
		s.table.measure(elapsed)
		s.screen.draw(s.table.lines(elapsed))
	case !s.screen.quiet && n%2 == 0:
		s.table.measure(elapsed)
		s.screen.sayf("%s", s.table.plain(elapsed))
	}
	return nil
}

// judge prints the verdict. trouble is what went wrong before.
func (s *story) judge(trouble error) error {
	v := s.books.judge(s.family.cutOff())
	for _, fault := range v.faults {
		trouble = errors.Join(trouble, errors.New(fault))
	}
	r := s.books.result(s.sent)
	r.Lies, r.BadLines = len(v.lies), int(s.in.bad.Load())
	if s.chaos != nil {
		r.Seed = s.chaos.seed
		nodes, instances := s.chaos.counts()
		r.Kills, r.NodeKills = nodes+instances, nodes
	}
	if trouble != nil {
		r.Failed = trouble.Error()
	}
	if s.screen.live {
		s.screen.draw(s.table.lines(s.sent))
		s.screen.leave()
		s.screen.sayf("")
	}
	err := v.print(s.opts.Errors, s.books)
	if s.opts.JSON {
		err = errors.Join(err, json.NewEncoder(s.opts.Out).Encode(r))
	} else {
		for _, line := range s.books.words(&v, &r) {
			s.screen.sayf("%s", line)
		}
		if r.BadLines > 0 {
			s.screen.sayf("%d lines of the input were no gift and were skipped", r.BadLines)
		}
	}
	if len(v.lies) > 0 {
		err = errors.Join(fmt.Errorf("demo: %d lies", len(v.lies)), err)
	}
	return errors.Join(trouble, err)
}
