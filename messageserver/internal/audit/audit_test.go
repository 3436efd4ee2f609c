package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// day is when the tests' records begin; each is a second after the one before.
var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func wall() func() time.Time {
	var mu sync.Mutex
	at := day
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Second)
		return at
	}
}

// open opens a log for the test.
func open(t *testing.T, path string, o Options) *Log {
	t.Helper()
	if o.Wall == nil {
		o.Wall = wall()
	}
	l, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func record(i int) Record {
	return Record{Author: "ann", Action: "rules.apply", Target: fmt.Sprint("rule-", i), Reason: "because"}
}

func add(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		if err := l.Append(t.Context(), record(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// wantWhole wants a chain from first to last.
func wantWhole(t *testing.T, l *Log, first, last uint64) {
	t.Helper()
	s, err := l.Verify(t.Context())
	if err != nil || s.First != first || s.Last != last || uint64(s.Lines) != last-first+1 {
		t.Errorf("Verify: %+v, %v, want %d to %d", s, err, first, last)
	}
}

func seqs(list []Record) string {
	var all []string
	for _, r := range list {
		all = append(all, fmt.Sprint(r.Seq))
	}
	return strings.Join(all, " ")
}

func TestARecordComesBackAsItWasKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "audit.log")
	l := open(t, path, Options{})
	want := Record{
		Author: "ann", Action: "rules.apply", Target: "rules", Reason: "a <b> & \"c\"\nd", From: "1.7", To: "1.8", Node: "a",
		Remote: "127.0.0.1:1", Result: "done", Details: json.RawMessage(`{"n": 1}`),
	}
	if err := l.Append(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	l.Close()
	list, err := open(t, path, Options{}).List(t.Context(), Filter{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	want.Seq, want.At, want.Details = 1, day.Add(time.Second), json.RawMessage(`{"n":1}`)
	if got, want := fmt.Sprintf("%+v", list[0]), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("others can read it:", info.Mode(), err)
	}
}

func TestListChooses(t *testing.T) {
	for name, l := range map[string]*Log{
		"file":   open(t, filepath.Join(t.TempDir(), "audit.log"), Options{MaxBytes: 400}),
		"memory": Memory(100, Options{Wall: wall()}),
	} {
		add(t, l, 3)
		if err := l.Append(t.Context(), Record{Author: "bob", Action: "mesh.add"}); err != nil {
			t.Fatal(err)
		}
		add(t, l, 1)
		for _, c := range []struct {
			filter Filter
			want   string
		}{
			{Filter{}, "5 4 3 2 1"},
			{Filter{Limit: 2}, "5 4"},
			{Filter{Author: "bob"}, "4"},
			{Filter{Action: "rules.apply", Limit: 3}, "5 3 2"},
			{Filter{Since: day.Add(4 * time.Second)}, "5 4"},
			{Filter{Since: day.Add(time.Hour)}, ""},
			{Filter{Author: "ann", Action: "mesh.add"}, ""},
		} {
			if got, err := l.List(t.Context(), c.filter); err != nil || seqs(got) != c.want {
				t.Errorf("%s: %+v: %q, %v, want %q", name, c.filter, seqs(got), err, c.want)
			}
		}
		wantWhole(t, l, 1, 5)
		l.Close()
		if err := l.Append(t.Context(), record(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: after Close: %v", name, err)
		}
	}
}

func TestAClockThatWasSetBackHidesNothing(t *testing.T) {
	l := Memory(0, Options{})
	for _, minutes := range []int{60, 30, 61} {
		r := record(minutes)
		r.At = day.Add(time.Duration(minutes) * time.Minute)
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.List(t.Context(), Filter{Since: day.Add(59 * time.Minute)}); seqs(got) != "3 1" {
		t.Error(seqs(got), err)
	}
}

func TestBadRecordsAreRefused(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.log"), Options{})
	for want, r := range map[string]Record{
		"a record has no author":   {Action: "x"},
		"a record has no action":   {Author: "x"},
		"details":                  {Author: "x", Action: "x", Details: json.RawMessage("{")},
		"at most 1048576 are kept": {Author: "x", Action: "x", Reason: strings.Repeat("x", MaxRecord)},
	} {
		if err := l.Append(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, cause := l.Failing(); cause != nil {
		t.Error("a bad record is not the log's failure:", cause)
	}
	add(t, l, 1)
	wantWhole(t, l, 1, 1)
}

func TestConcurrentAppendsAreOneChain(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.log"), Options{MaxBytes: 2000})
	const writers, each = 8, 25
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for i := range each {
				if err := l.Append(context.Background(), record(i)); err != nil {
					t.Error(err)
				}
				if _, err := l.List(context.Background(), Filter{Limit: 30}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for range 20 {
			if _, err := l.Verify(context.Background()); err != nil {
				t.Error("while it is written to:", err)
			}
		}
	})
	running.Wait()
	wantWhole(t, l, 1, writers*each)
	if v := l.View(); v.Files < 5 || v.Seq != writers*each {
		t.Errorf("%+v", v)
	}
}

func TestWaitingForATurnEndsWithTheContext(t *testing.T) {
	l := Memory(1, Options{})
	<-l.turn
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- l.Append(ctx, record(1)) }()
	stop()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.turn <- struct{}{}
	if err := l.Append(ctx, record(1)); !errors.Is(err, context.Canceled) {
		t.Error("the caller has gone:", err)
	}
	if v := l.View(); v.Seq != 0 {
		t.Errorf("%+v", v)
	}
}

func TestMemoryKeepsTheLastAndSaysSo(t *testing.T) {
	l := Memory(3, Options{Wall: wall()})
	if s, err := l.Verify(t.Context()); err != nil || s != (Summary{}) {
		t.Errorf("%+v, %v", s, err)
	}
	add(t, l, 5)
	if list, err := l.List(t.Context(), Filter{}); seqs(list) != "5 4 3" {
		t.Error(seqs(list), err)
	}
	wantWhole(t, l, 3, 5)
	if v := l.View(); v.Where != "memory: lost when the process ends" || v.Keeps != 3 || v.Seq != 5 || v.Hash == "" {
		t.Errorf("%+v", v)
	}
	if v := Memory(0, Options{}).View(); v.Keeps != 10_000 {
		t.Errorf("%+v", v)
	}
}
