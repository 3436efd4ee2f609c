package rulestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kind is one implementation of Store. open returns a store that keeps so many entries, another look at the same content, and what
// ends its owner as a crash does and starts it again: both stores go on.
type kind struct {
	name string
	open func(t *testing.T, kept int) (one, other Store, crash func())
}

var kinds = []kind{
	{"bolt", func(t *testing.T, kept int) (Store, Store, func()) {
		b := &reopened{t: t, path: filepath.Join(t.TempDir(), "rules.bolt"), kept: kept}
		b.open()
		t.Cleanup(func() { b.Close() })
		return b, b, func() {
			b.Close()
			b.open()
		}
	}},
	{"memory", func(_ *testing.T, kept int) (Store, Store, func()) {
		s := NewMemory()
		s.kept = kept
		return s, s, func() {} // it ends with its owner
	}},
	{"redis", func(t *testing.T, kept int) (Store, Store, func()) {
		server := testkit.Redis(t)
		open := func() Store {
			s, err := OpenRedis(RedisOptions{Addresses: []string{server.Address}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			s.kept = kept
			return s
		}
		return open(), open(), func() {
			server.Kill()
			server.Start()
		}
	}},
	{"remote", func(t *testing.T, kept int) (Store, Store, func()) {
		b := &reopened{t: t, path: filepath.Join(t.TempDir(), "rules.bolt"), kept: kept}
		b.open()
		t.Cleanup(func() { b.Close() })
		served := Serve(b)
		open := func() Store {
			s := NewRemote(func(ctx context.Context, method string, body []byte) ([]byte, error) {
				answer := served[method]
				if answer == nil {
					return nil, fmt.Errorf("there is no method %s", method)
				}
				body, err := answer(ctx, body)
				if err != nil {
					return nil, errors.New(err.Error()) // what it was does not cross a network
				}
				return body, nil
			})
			t.Cleanup(func() { s.Close() })
			return s
		}
		return open(), open(), func() {
			b.Close()
			b.open()
		}
	}},
}

// reopened is a Bolt whose process may have been another one since.
type reopened struct {
	*Bolt

	t    *testing.T
	path string
	kept int
}

func (b *reopened) open() {
	b.t.Helper()
	s, err := OpenBolt(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	s.kept = b.kept
	b.Bolt = s
}

// TestStores: every implementation keeps every promise of Store.
func TestStores(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for name, story := range map[string]func(t *testing.T, k kind){
				"a new store is empty":               aNewStoreIsEmpty,
				"what is put is there":               whatIsPutIsThere,
				"who was late is told what is there": whoWasLateIsTold,
				"history":                            history,
				"only the newest are kept":           onlyTheNewestAreKept,
				"a crash loses nothing":              aCrashLosesNothing,
				"of many at once one wins":           ofManyOneWins,
				"others are heard":                   othersAreHeard,
				"an end is an error":                 anEndIsAnError,
			} {
				t.Run(name, func(t *testing.T) { story(t, k) })
			}
		})
	}
}

func version(n uint64) governance.Mark { return governance.Mark{Epoch: 1, Version: n} }

// entry is one with all that an entry may have.
func entry(m governance.Mark, text string) Entry {
	return Entry{
		Mark: m, Text: []byte(text), Hash: "hash of " + text, Author: "alice", Reason: "because\n\"ü\"",
		At: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
	}
}

func put(t *testing.T, s Store, from, to governance.Mark) Entry {
	t.Helper()
	e := entry(to, "text of "+name(to))
	if err := s.Put(t.Context(), from, e); err != nil {
		t.Fatalf("put %s after %s: %v", name(to), name(from), err)
	}
	return e
}

func wantNewest(t *testing.T, s Store, want Entry) {
	t.Helper()
	got, err := s.Newest(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("the newest: %v\n%s", err, diff)
	}
}

func aNewStoreIsEmpty(t *testing.T, k kind) {
	s, _, _ := k.open(t, 1000)
	wantNewest(t, s, Entry{})
	if found, err := s.History(t.Context(), governance.Mark{}, 0); err != nil || len(found) != 0 {
		t.Errorf("history %v, %v", found, err)
	}
	if e, err := s.Entry(t.Context(), version(1)); !errors.Is(err, ErrNoEntry) {
		t.Errorf("entry %v, %v, want ErrNoEntry", e, err)
	}
	if e, err := s.Entry(t.Context(), governance.Mark{}); !errors.Is(err, ErrNoEntry) {
		t.Errorf("the entry before all: %v, %v, want ErrNoEntry", e, err)
	}
}

func whatIsPutIsThere(t *testing.T, k kind) {
	s, other, _ := k.open(t, 1000)
	first := put(t, s, governance.Mark{}, version(1))
	wantNewest(t, other, first)
	far := put(t, other, version(1), version(1<<60+1)) // written forward; beyond what a float64 tells apart
	wantNewest(t, s, far)
	next := put(t, s, far.Mark, version(1<<60+2))
	wantNewest(t, other, next)
	epoch := put(t, s, next.Mark, governance.Mark{Epoch: 2, Version: 1})
	wantNewest(t, other, epoch)
	big := entry(governance.Mark{Epoch: 2, Version: 2}, "")
	big.Text = bytes.Repeat([]byte{0, 1, 0xff, '\n', '"'}, 200_000) // the most that a document has, and no text at all
	if err := s.Put(t.Context(), epoch.Mark, big); err != nil {
		t.Fatal(err)
	}
	got, err := other.Newest(t.Context())
	if err != nil || got.Mark != big.Mark || !bytes.Equal(got.Text, big.Text) {
		t.Errorf("the largest came back as %v with %d bytes, %v", got, len(got.Text), err)
	}
	for _, e := range []Entry{first, far, next, epoch} {
		got, err := other.Entry(t.Context(), e.Mark)
		if diff := cmp.Diff(e, got); diff != "" || err != nil {
			t.Errorf("%v: %v\n%s", e, err, diff)
		}
	}
}

func whoWasLateIsTold(t *testing.T, k kind) {
	s, other, _ := k.open(t, 1000)
	first := put(t, s, governance.Mark{}, version(1))
	second := put(t, s, first.Mark, version(2))
	for _, from := range []governance.Mark{{}, version(1), version(3), {Epoch: 2, Version: 2}} {
		err := other.Put(t.Context(), from, entry(governance.Mark{Epoch: 3}, "late"))
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			t.Errorf("from %s: %v, want a conflict", name(from), err)
			continue
		}
		if diff := cmp.Diff(second, conflict.Has); diff != "" {
			t.Errorf("from %s: it has\n%s", name(from), diff)
		}
	}
	for _, to := range []governance.Mark{{}, version(1), version(2), {Epoch: 0, Version: 9}} {
		if err := s.Put(t.Context(), version(2), entry(to, "older")); err == nil {
			t.Errorf("%s was taken after 1.2", name(to))
		}
	}
	wantNewest(t, s, second)
	if found, err := s.History(t.Context(), governance.Mark{}, 0); err != nil || len(found) != 2 {
		t.Errorf("history %v, %v, want two entries", found, err)
	}
}

func history(t *testing.T, k kind) {
	s, _, _ := k.open(t, 1000)
	var want []Entry // newest first
	last := governance.Mark{}
	for _, m := range []governance.Mark{version(1), version(2), version(255), version(256), {Epoch: 2, Version: 1}} {
		e := put(t, s, last, m)
		e.Text = nil
		want = append([]Entry{e}, want...)
		last = m
	}
	for _, c := range []struct {
		before governance.Mark
		limit  int
		want   []Entry
	}{
		{governance.Mark{}, 0, want},
		{governance.Mark{}, 1, want[:1]},
		{governance.Mark{}, 99, want},
		{want[0].Mark, 2, want[1:3]},
		{version(256), 0, want[2:]},
		{version(3), 0, want[3:]}, // one that is not there
		{version(1), 5, nil},
		{governance.Mark{Epoch: 9}, 2, want[:2]},
	} {
		got, err := s.History(t.Context(), c.before, c.limit)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("before %s, at most %d: %v\n%s", name(c.before), c.limit, err, diff)
		}
	}
}

func onlyTheNewestAreKept(t *testing.T, k kind) {
	s, _, _ := k.open(t, 10)
	for n := range uint64(25) {
		m := version(n)
		if n == 0 {
			m = governance.Mark{}
		}
		put(t, s, m, version(n+1))
	}
	found, err := s.History(t.Context(), governance.Mark{}, 0)
	if err != nil || len(found) != 10 || found[0].Mark != version(25) || found[9].Mark != version(16) {
		t.Errorf("%d entries, %v: %v", len(found), err, found)
	}
	if _, err := s.Entry(t.Context(), version(16)); err != nil {
		t.Errorf("the oldest that is kept: %v", err)
	}
	if _, err := s.Entry(t.Context(), version(15)); !errors.Is(err, ErrNoEntry) {
		t.Errorf("the one before: %v, want ErrNoEntry", err)
	}
}

func aCrashLosesNothing(t *testing.T, k kind) {
	s, other, crash := k.open(t, 1000)
	put(t, s, governance.Mark{}, version(1))
	second := put(t, s, version(1), version(2))
	wantNewest(t, other, second) // it has a connection
	crash()
	wantNewest(t, s, second)
	wantNewest(t, other, second)
	if found, err := s.History(t.Context(), governance.Mark{}, 0); err != nil || len(found) != 2 {
		t.Errorf("history %v, %v, want two entries", found, err)
	}
	wantNewest(t, other, put(t, s, version(2), version(3)))
}

// ofManyOneWins: operators at two nodes change the rules as fast as they can; each change was made from the one before it.
func ofManyOneWins(t *testing.T, k kind) {
	one, other, _ := k.open(t, 1000)
	const operators, each = 8, 12
	var lost atomic.Int64
	var all sync.WaitGroup
	for n := range operators {
		s := one
		if n%2 == 1 {
			s = other
		}
		all.Go(func() {
			from := governance.Mark{}
			for range each {
				for {
					e := entry(governance.Mark{Epoch: 1, Version: from.Version + 1}, fmt.Sprint("operator ", n))
					err := s.Put(t.Context(), from, e)
					conflict, ok := errors.AsType[*ConflictError](err)
					if err == nil {
						from = e.Mark
						break
					}
					if !ok {
						t.Errorf("operator %d: %v", n, err)
						return
					}
					lost.Add(1)
					from = conflict.Has.Mark
				}
			}
		})
	}
	all.Wait()
	found, err := one.History(t.Context(), governance.Mark{}, 0)
	if err != nil || len(found) != operators*each || found[0].Mark != version(operators*each) {
		t.Errorf("%d entries, %v, want %d", len(found), err, operators*each)
	}
	t.Logf("%d changes, %d conflicts", len(found), lost.Load())
}

func othersAreHeard(t *testing.T, k kind) {
	s, other, crash := k.open(t, 1000)
	put(t, other, governance.Mark{}, version(1))
	ctx, stop := context.WithCancel(t.Context())
	heard, ended := make(chan struct{}, 100), make(chan struct{})
	watch := func() {
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			s.Watch(ctx, func() { heard <- struct{}{} })
		}()
	}
	want := func(what string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s was not heard of", what)
		}
	}
	watch()
	want("what was there")
	put(t, other, version(1), version(2))
	want("what another has put")
	put(t, s, version(2), version(3))
	want("an own change")
	if k.name == "redis" { // the others' watchers end with their file
		crash()
		put(t, other, version(3), version(4))
		want("a change after a crash")
	}
	stop()
	<-ended
	if len(heard) != 0 {
		t.Errorf("changes were told that there were not: %d", len(heard))
	}
}

func anEndIsAnError(t *testing.T, k kind) {
	s, other, _ := k.open(t, 1000)
	put(t, s, governance.Mark{}, version(1))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	operations := map[string]func(ctx context.Context) error{
		"Newest":  func(ctx context.Context) error { _, err := s.Newest(ctx); return err },
		"Put":     func(ctx context.Context) error { return s.Put(ctx, version(1), entry(version(2), "x")) },
		"Entry":   func(ctx context.Context) error { _, err := s.Entry(ctx, version(1)); return err },
		"History": func(ctx context.Context) error { _, err := s.History(ctx, governance.Mark{}, 1); return err },
	}
	for name, operate := range operations {
		if err := operate(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is done: %v", name, err)
		}
	}
	e, err := other.Newest(t.Context())
	if err != nil || e.Mark != version(1) {
		t.Errorf("a cancelled put was stored: %v, %v", e, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	for name, operate := range operations {
		if err := operate(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
