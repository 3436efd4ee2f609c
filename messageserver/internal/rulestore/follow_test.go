package rulestore

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
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/internal/testkit"
)

// told is an entry as another node tells of it.
func told(m governance.Mark, text string) Entry {
	return Entry{Mark: m, Text: []byte(text), Hash: rules.Hash([]byte(text)), Author: "carol", At: time.Now().UTC()}
}

func TestAdopt(t *testing.T) {
	n := newNode(t, Options{})
	if err := n.Adopt(told(version(3), offs("Pay"))); err != nil || !n.off("Pay") || n.Standing().Source != "peer" {
		t.Fatalf("newer: %v, %+v", err, n.Standing())
	}
	for what, e := range map[string]Entry{
		"none":           {},
		"older":          told(version(2), offs("Ask")),
		"the same again": told(version(3), offs("Pay")),
	} {
		if err := n.Adopt(e); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	damaged := told(version(4), offs("Ask"))
	damaged.Text = []byte(offs("Akk"))
	if err := n.Adopt(damaged); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged: %v", err)
	}
	if n.changed.Load() != 1 || n.Current().Mark != version(3) || len(n.Troubles()) != 0 {
		t.Errorf("changed %d times, %+v, %v", n.changed.Load(), n.Standing(), n.Troubles())
	}

	if err := n.Adopt(told(version(3), offs("Ask"))); err == nil || n.off("Ask") {
		t.Errorf("another text of the same mark: %v", err)
	}
	n.wantTrouble(TroubleDiffer, "version 1.3 is there twice", "carol")
	if err := n.Adopt(told(version(5), "format: 2\nrules: []\n")); err == nil || n.Current().Mark != version(3) {
		t.Errorf("one of a newer program: %v", err)
	}
	n.wantTrouble(TroubleNotUnderstood, "this node does not understand version 1.5 by carol, and goes on with version 1.3", "line 1")
	if err := n.Adopt(told(governance.Mark{Epoch: 2, Version: 1}, offs("Refund"))); err != nil || !n.off("Refund") || n.off("Pay") {
		t.Errorf("a greater epoch: %v", err)
	}
	if len(n.Troubles()) != 0 {
		t.Errorf("what was decided is not over: %v", n.Troubles())
	}
}

// TestTheNewestOfManyWins: others tell of versions at the same time, in any order.
func TestTheNewestOfManyWins(t *testing.T) {
	n := newNode(t, Options{})
	const tellers, each = 4, 100
	var all sync.WaitGroup
	for i := range uint64(tellers) {
		all.Go(func() {
			last := governance.Mark{}
			for k := range uint64(each) {
				if err := n.Adopt(told(version(k*tellers+i+1), offs("Pay"))); err != nil {
					t.Error(err)
				}
				now := n.Current().Mark
				if now.Less(last) {
					t.Errorf("%s came after %s", name(now), name(last))
				}
				last = now
			}
		})
	}
	all.Wait()
	if got := n.Current().Mark; got != version(tellers*each) || n.Set().Mark() != got {
		t.Errorf("it is %s, want %s", name(got), name(version(tellers*each)))
	}
}

func TestARestartedNodeHasItsRulesBeforeItRuns(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "rules.cache")
	first := startNode(t, Options{Store: newBolt(t), Cache: cache})
	first.apply(offs("Pay"))
	first.apply(offs("Pay", "Ask"))
	first.stop()
	info, err := os.Stat(cache)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cache holds secrets, and has mode %v, %v", info.Mode(), err)
	}
	second := newNode(t, Options{Cache: cache, Store: &broken{err: errAway}})
	if s := second.Standing(); !second.off("Pay") || !second.off("Ask") || s.Mark != version(2) || s.Source != "cache" || s.Rules != 2 {
		t.Errorf("after a restart without the store: %+v", s)
	}
	if got, want := second.Current(), first.Current(); got.Author != want.Author || !got.At.Equal(want.At) || got.Hash != want.Hash {
		t.Errorf("cached %v, want %v", got, want)
	}
	if second.changed.Load() != 0 {
		t.Error("Changed was called before New has returned")
	}
}

// TestTheCacheIsWrittenAtTheEnd: what came in the last moment is in it.
func TestTheCacheIsWrittenAtTheEnd(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		n := newNode(t, Options{Cache: filepath.Join(t.TempDir(), "rules.cache"), Store: NewMemory()})
		n.apply(offs("Pay"))
		n.followCache(over)
		if again := newNode(t, Options{Cache: n.o.Cache}); again.Current().Mark != version(1) {
			t.Fatalf("the cache has %v", again.Current())
		}
	}
}

func TestACacheThatFailsIsATrouble(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"not JSON": func(path string) error { return os.WriteFile(path, []byte(`{"epoch":1`), 0o600) },
		"damaged": func(path string) error {
			e := told(version(7), offs("Pay"))
			e.Hash = "x"
			text, err := json.Marshal(e)
			if err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o600)
		},
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "rules.cache")
			if err := damage(cache); err != nil {
				t.Fatal(err)
			}
			n := startNode(t, Options{Store: newBolt(t), Cache: cache})
			n.wantTrouble(TroubleCache, cache)
			n.apply(offs("Pay"))
			if what == "a folder" {
				n.wantTrouble(TroubleCache, cache, "not written")
				n.stop()
				entries, err := os.ReadDir(filepath.Dir(cache))
				if err != nil || len(entries) != 1 {
					t.Errorf("something is left beside it: %v, %v", entries, err)
				}
				return
			}
			n.wantNoTrouble(TroubleCache)
			n.stop()
			if again := newNode(t, Options{Cache: cache}); again.Current().Mark != version(1) {
				t.Errorf("after a restart: %+v", again.Standing())
			}
		})
	}
}

func TestTheStoreIsAway(t *testing.T) {
	server := testkit.Redis(t)
	a, b := startNode(t, Options{Store: newRedis(t, server)}), startNode(t, Options{Store: newRedis(t, server)})
	a.apply(offs("Pay"))
	b.wantMark(version(1))
	server.Kill()
	for _, n := range []*node{a, b} {
		n.wantTrouble(TroubleStoreDown, "the last rules stay in force (version 1.1 by alice)")
		if !n.off("Pay") {
			t.Error("the rules are gone")
		}
		_, err := n.Apply(t.Context(), Change{Text: []byte(offs("Ask")), Author: "alice"})
		if err == nil || !strings.Contains(err.Error(), "nothing was changed: the store of rules is not there: rulestore: redis") || n.off("Ask") {
			t.Errorf("a change without the store: %v", err)
		}
		_, err = n.Rollback(t.Context(), version(1), nil, "alice", "back")
		if err == nil || !strings.Contains(err.Error(), "nothing was changed: the store of rules is not there: rulestore: redis") {
			t.Errorf("a rollback without the store: %v", err)
		}
	}
	server.Start()
	a.wantNoTrouble(TroubleStoreDown)
	b.wantNoTrouble(TroubleStoreDown)
	a.apply(offs("Ask"))
	b.wantMark(version(2))
	if !b.off("Ask") || b.off("Pay") {
		t.Error("the new rules are not in force at the other node")
	}
	if len(a.Troubles())+len(b.Troubles()) != 0 {
		t.Errorf("troubles %v, %v", a.Troubles(), b.Troubles())
	}
}

func TestAnOlderStoreIsWrittenForward(t *testing.T) {
	server := testkit.Redis(t)
	a, b := startNode(t, Options{Store: newRedis(t, server)}), startNode(t, Options{Store: newRedis(t, server)})
	for range 3 {
		a.apply(offs("Pay"))
		a.apply(offs("Pay", "Ask"))
	}
	b.wantMark(version(6))
	server.Wipe()
	server.Start()
	other := newRedis(t, server)
	a.want("the store has what was in force", func() bool {
		e, err := other.Newest(t.Context())
		return err == nil && e.Mark == version(6) && e.Author == "alice" && string(e.Text) == offs("Pay", "Ask")
	})
	a.want("one of them says so", func() bool { return a.trouble(TroubleStoreOlder)+b.trouble(TroubleStoreOlder) != "" })
	if cause := a.trouble(TroubleStoreOlder) + b.trouble(TroubleStoreOlder); !strings.Contains(cause, "the store had no document, and this node version 1.6 by alice: that was written forward") {
		t.Errorf("trouble: %s", cause)
	}
	a.apply(offs("Refund"))
	b.wantMark(version(7))
}

// TestAChangeOnAnOlderStore comes before Run has noticed: it is made on top of what is in force.
func TestAChangeOnAnOlderStore(t *testing.T) {
	store := &broken{Store: newBolt(t)}
	n := newNode(t, Options{Store: store})
	n.apply(offs("Pay"))
	n.apply(offs("Ask"))
	store.Store = newBolt(t)
	put(t, store.Store, governance.Mark{}, version(1))
	applied, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Refund")}, Author: "alice"})
	if err != nil || applied.Mark != version(3) || !n.off("Ask") || !n.off("Refund") {
		t.Errorf("%+v, %v", applied, err)
	}
	var actions []string
	for _, r := range n.records {
		actions = append(actions, fmt.Sprint(r.Action, " ", r.From.Version, "→", r.To.Version))
	}
	if got := strings.Join(actions, ", "); got != "apply 0→1, apply 1→2, forward 1→2, switch 2→3" {
		t.Errorf("recorded %s", got)
	}

	store.Store = newBolt(t)
	n.deaf = errors.New("the disk is full")
	if err := n.Load(t.Context()); !errors.Is(err, n.deaf) {
		t.Errorf("written forward without a record: %v", err)
	}
	n.wantTrouble(TroubleStoreOlder, "the disk is full")
	if e, err := store.Newest(t.Context()); err != nil || e.Mark != (governance.Mark{}) {
		t.Errorf("written forward without a record: %v, %v", e, err)
	}
	if _, err := n.Apply(t.Context(), Change{Text: []byte(empty), Author: "alice"}); err == nil {
		t.Error("a change on top of an older store was taken")
	}
}

func TestTwoDocumentsOfOneMark(t *testing.T) {
	store := newBolt(t)
	n := startNode(t, Options{Store: store})
	if err := n.Adopt(told(version(1), offs("Pay"))); err != nil {
		t.Fatal(err)
	}
	n.want("it was written forward", func() bool { e, err := store.Newest(t.Context()); return err == nil && e.Mark == version(1) })
	e := told(version(2), offs("Ask"))
	if err := errors.Join(store.Put(t.Context(), version(1), e), n.Load(t.Context())); err != nil {
		t.Fatal(err)
	}
	late := newNode(t, Options{Store: store})
	if err := late.Adopt(told(version(2), offs("Refund"))); err != nil {
		t.Fatal(err)
	}
	if err := late.Load(t.Context()); err == nil || !late.off("Refund") {
		t.Errorf("load: %v", err)
	}
	late.wantTrouble(TroubleDiffer, "version 1.2 is there twice")
	late.apply(offs("Pay"))
	n.wantMark(version(3))
	late.wantNoTrouble(TroubleDiffer)
}

// TestTheEndOfARule is told when it comes, with virtual time.
func TestTheEndOfARule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, Options{Store: NewMemory()})
		text := "format: 1\nrules:\n" +
			"  - {id: wide, module: m, timeout: {default: 7s}}\n" +
			"  - {id: narrow, module: m, method: Pay, until: " + in(1500*time.Millisecond) + ", timeout: {default: 3s}}\n" +
			"  - {id: open, until: " + in(4*time.Second) + ", lift: {checks: [callers]}}\n"
		n.apply(text)
		since := n.Standing().Since
		pay := governance.Subject{Caller: "web", Module: "m", Method: "Pay"}
		want := func(what string, timeout time.Duration, changed int64, lifted bool) {
			t.Helper()
			synctest.Wait()
			if got := n.Regime(pay).Settings.DefaultTimeout; got != timeout {
				t.Errorf("%s: the timeout is %v, want %v", what, got, timeout)
			}
			if n.changed.Load() != changed || n.Generation() != uint64(changed) {
				t.Errorf("%s: changed %d times, generation %d, want %d", what, n.changed.Load(), n.Generation(), changed)
			}
			if is := n.trouble(TroubleChecksLifted) != ""; is != lifted {
				t.Errorf("%s: checks lifted is %v, want %v: %s", what, is, lifted, n.trouble(TroubleChecksLifted))
			}
		}
		want("at once", 3*time.Second, 1, true)
		if cause := n.trouble(TroubleChecksLifted); !strings.Contains(cause, "rule open takes off callers of all calls until 2000-01-01T00:00:04Z") {
			t.Errorf("cause %q", cause)
		}
		time.Sleep(1499 * time.Millisecond)
		want("just before its end", 3*time.Second, 1, true)
		time.Sleep(2 * time.Millisecond)
		want("at its end", 7*time.Second, 2, true)
		time.Sleep(3 * time.Second)
		want("when all have ended", 7*time.Second, 3, false)
		time.Sleep(time.Minute)
		want("later", 7*time.Second, 3, false)
		if s := n.Standing(); s.Mark != version(1) || s.Rules != 3 || !s.Since.Equal(since) {
			t.Errorf("the document is another one: %+v", s)
		}
		n.stop()
	})
}

// TestAWallClockThatWentBack has rules again that had ended.
func TestAWallClockThatWentBack(t *testing.T) {
	n := newNode(t, Options{Store: NewMemory()})
	n.apply(offs("Pay " + in(time.Hour)))
	set := func(ahead time.Duration, changed int64, off bool) {
		t.Helper()
		n.o.Calendar.Set(n.o.Now(), time.Now().Add(ahead).UnixNano())
		n.endRules()
		if n.changed.Load() != changed || n.off("Pay") != off {
			t.Errorf("the clock %v ahead: changed %d times, off %v, want %d, %v", ahead, n.changed.Load(), n.off("Pay"), changed, off)
		}
	}
	set(0, 1, true)
	set(2*time.Hour, 2, false)
	set(3*time.Hour, 2, false)
	set(0, 3, true)
}

func TestTheWallClockIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calendar := &governance.Calendar{}
		n := startNode(t, Options{Calendar: calendar})
		calendar.Set(n.o.Now(), 0) // as one that somebody has set wrong
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if got := calendar.At(n.o.Now()); got != time.Now().UnixNano() {
			t.Errorf("the calendar says %v, want %v", got, time.Now().UnixNano())
		}
		n.stop()
	})
}

func TestATroubleIsOneOfItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, Options{})
		from := time.Now()
		n.troubles.begin("b", "first")
		time.Sleep(time.Second)
		n.troubles.begin("b", "second")
		n.troubles.beginFor("a", "for a while", time.Minute)
		all := n.Troubles()
		if len(all) != 2 || all[0].Kind != "a" || all[1].Cause != "second" || !all[1].Since.Equal(from) {
			t.Errorf("%+v", all)
		}
		time.Sleep(time.Minute)
		n.troubles.end("b")
		n.troubles.end("b")
		if all := n.Troubles(); len(all) != 0 {
			t.Errorf("not over: %+v", all)
		}
	})
}

// TestRunEndsWheneverItIsTold, with everything that it follows.
func TestRunEndsWheneverItIsTold(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), offs("Pay"))
	server := testkit.Redis(t)
	for i := range 30 {
		o := Options{Cache: filepath.Join(dir, "rules.cache"), File: filepath.Join(dir, "rules.yaml"), Store: NewMemory()}
		if i%3 == 0 {
			o.Store = newRedis(t, server)
		}
		n := newNode(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i)*500*time.Microsecond)
		n.Run(ctx)
		cancel()
	}
}

func TestAChangeReachesOtherNodesWithinASecond(t *testing.T) {
	keeper := newBolt(t)
	served := Serve(keeper)
	remote := NewRemote(func(ctx context.Context, method string, body []byte) ([]byte, error) {
		return served[method](ctx, body)
	})
	server := testkit.Redis(t)
	for what, stores := range map[string][2]Store{
		"redis":  {newRedis(t, server), newRedis(t, server)},
		"remote": {keeper, remote},
	} {
		t.Run(what, func(t *testing.T) {
			a, b := newNode(t, Options{Store: stores[0]}), startNode(t, Options{Store: stores[1]})
			tellRemote := func() {
				if what == "remote" {
					remote.Notify() // as the keeper's node does
				}
			}
			a.apply(offs("First")) // b follows from here on
			tellRemote()
			b.wantMark(version(1))
			var longest time.Duration
			for n := range uint64(20) {
				from := time.Now()
				a.apply(offs(fmt.Sprint("M", n)))
				tellRemote()
				b.wantMark(version(n + 2))
				longest = max(longest, time.Since(from))
			}
			if longest > time.Second {
				t.Errorf("the longest of 20 took %v", longest)
			}
			t.Logf("the longest of 20 took %v", longest)
		})
	}
}
