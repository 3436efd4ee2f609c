package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// run measures all that is wanted.
func run(ctx context.Context, o options) error {
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o750); err != nil {
			return err
		}
		if err := os.Setenv(profileVariable, o.profiles); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "twohop-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, rigs: map[string]*rig{}, out: newReport(o.json)}
	defer b.stop()

	loads := points()
	if o.quick {
		loads = loads[:1]
	}
	for _, p := range loads {
		if err := b.measure(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	b.atRest()
	if !o.quick && o.idle > 0 {
		for _, name := range []string{twohop1, nats1} {
			if err := b.idle(ctx, name); err != nil {
				return fmt.Errorf("idle connections of %s: %w", name, err)
			}
		}
	}
	b.out.goals(b.results)
	return nil
}

type bench struct {
	options
	dir     string
	rigs    map[string]*rig
	out     *report
	results results
}

func (b *bench) stop() {
	for _, r := range b.rigs {
		r.stop()
	}
}

// rig returns the running processes of a name.
func (b *bench) rig(ctx context.Context, name string) (*rig, error) {
	if r, ok := b.rigs[name]; ok {
		return r, nil
	}
	r, err := b.newRig(name)
	b.rigs[name] = r
	if err == nil && len(r.brokers) > 0 {
		time.Sleep(500 * time.Millisecond) // what a start takes is not rest
		r.atRest, err = r.brokers[0].memory()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return r, ctx.Err()
}

func (b *bench) newRig(name string) (*rig, error) {
	r := new(rig)
	return r, rigs[name](&b.options, filepath.Join(b.dir, name), r)
}

// measure takes all contenders through a load, in turn.
func (b *bench) measure(ctx context.Context, p point) error {
	var turn results
	for _, c := range contenders {
		if b.wants(p.String(), c.name) {
			turn = append(turn, &result{contender: c, point: p})
		}
	}
	for range b.rounds {
		for _, i := range rand.Perm(len(turn)) {
			r := turn[i]
			if r.failed != nil {
				continue
			}
			rig, err := b.rig(ctx, r.contender.rig)
			if err != nil {
				return err
			}
			if r.failed = b.round(ctx, rig, r); r.failed != nil && (b.quick || ctx.Err() != nil) {
				return fmt.Errorf("%s: %w", r.contender.name, r.failed)
			}
		}
	}
	for _, r := range turn {
		if r.failed == nil {
			r.settle()
		}
	}
	b.results = append(b.results, turn...)
	b.out.point(b.results, turn)
	return nil
}

// round is one caller's life.
func (b *bench) round(ctx context.Context, rig *rig, r *result) error {
	said, says := io.Pipe()
	p := r.point
	caller, err := playing("caller", says, "caller", "--peer", r.contender.peer, "--target", rig.target,
		"--payload", fmt.Sprint(p.payload), "--inflight", fmt.Sprint(p.inFlight), "--conns", fmt.Sprint(p.conns),
		"--warm", b.warm.String(), "--window", b.window.String())
	if err != nil {
		return err
	}
	go func() {
		<-caller.ended
		_ = says.Close()
	}()
	// A caller whose broker has gone may wait for ever.
	patience, enough := context.WithTimeout(ctx, b.warm+b.window+30*time.Second)
	defer enough()
	defer context.AfterFunc(patience, func() {
		_ = said.Close()
		caller.kill()
	})()
	processes := rig.processes()
	processes[caller.name] = caller
	var begin, end map[string]float64
	var f figures
	for lines := bufio.NewScanner(said); lines.Scan(); {
		switch line := lines.Text(); line {
		case lineBegin:
			begin, err = cpuOf(processes)
			b.profileNodes(rig, r)
		case lineEnd:
			end, err = cpuOf(processes)
			r.loaded = max(r.loaded, memoryOf(rig))
		default:
			err = json.Unmarshal([]byte(line), &f)
			_ = caller.stdin.Close()
		}
		if err != nil {
			_ = said.Close()
			caller.kill()
			return err
		}
	}
	if err := caller.wait(); err != nil {
		return errors.Join(patience.Err(), err)
	}
	measured := round{f, map[string]float64{}}
	for name := range processes {
		measured.cpu[name] = (end[name] - begin[name]) * 100_000 / (f.CallsPerSecond * b.window.Seconds())
	}
	r.rounds = append(r.rounds, measured)
	return nil
}

func cpuOf(processes map[string]*process) (map[string]float64, error) {
	all := map[string]float64{}
	for name, p := range processes {
		var err error
		if all[name], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// memoryOf returns the memory of the first broker, 0 if there is none.
func memoryOf(r *rig) int {
	if len(r.brokers) == 0 {
		return 0
	}
	n, _ := r.brokers[0].memory()
	return n
}

// atRest reports the memory of brokers that have done nothing yet.
func (b *bench) atRest() {
	for _, name := range []string{twohop1, nats1, floor1} {
		if r, ok := b.rigs[name]; ok {
			b.out.memory(name, "at rest", r.atRest, 0)
		}
	}
}

// idle measures what connections cost that do nothing, with a broker of their own.
func (b *bench) idle(ctx context.Context, name string) error {
	if !b.wants("idle", name) {
		return nil
	}
	r, err := b.newRig(name)
	defer r.stop()
	if err != nil {
		return err
	}
	said, says := io.Pipe()
	peer := ""
	for _, c := range contenders {
		if c.name == name {
			peer = c.peer
		}
	}
	// The first connection and its first call are the broker's start.
	first, err := playing("first", says, "idle", peer, r.target, "1")
	if err != nil {
		return err
	}
	defer first.stop()
	patience, enough := context.WithTimeout(ctx, 5*time.Minute)
	defer enough()
	defer context.AfterFunc(patience, func() { _ = said.CloseWithError(errors.New("it took too long")) })()
	failed := func(p *process) {
		<-p.ended
		_ = says.CloseWithError(fmt.Errorf("%s ended: %s", p.name, p.said.String()))
	}
	go failed(first)
	lines := bufio.NewScanner(said)
	if !lines.Scan() {
		return lines.Err()
	}
	time.Sleep(time.Second)
	before := memoryOf(r)
	many, err := playing("idle", says, "idle", peer, r.target, fmt.Sprint(b.options.idle))
	if err != nil {
		return err
	}
	defer many.stop()
	go failed(many)
	if !lines.Scan() {
		return lines.Err()
	}
	time.Sleep(10 * time.Second) // what logins left behind is collected
	b.out.memory(name, "idle", memoryOf(r)-before, b.options.idle)
	return ctx.Err()
}
