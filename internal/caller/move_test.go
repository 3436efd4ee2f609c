package caller

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// slowly has the dialing of an address take some time, or for ever with 0, until its context is done.
func (m *mesh) slowly(address string, takes time.Duration) func(*Options) {
	return func(o *Options) {
		o.Dial = func(ctx context.Context, to string) (net.Conn, error) {
			if to != address {
				return m.dial(ctx, to)
			}
			var after <-chan time.Time
			if takes > 0 {
				after = time.After(takes)
			}
			select {
			case <-after:
				return m.dial(ctx, to)
			case <-ctx.Done():
				m.mu.Lock()
				defer m.mu.Unlock()
				m.dials = append(m.dials, to)
				return nil, ctx.Err()
			}
		}
	}
}

// far has the node answer calls of "far" with NO_ROUTE and the others with what they say.
func (n *node) far(try ...string) {
	n.answer = func(p *peer, f *wire.Frame) {
		if string(f.Body) == "far" {
			p.reply(f, wire.NoRoute, &pb.ResponseHeader{Node: n.name, Try: try}, "")
			return
		}
		echo(p, f)
	}
}

func (m *mesh) dialsOf(address string) (n int) {
	for _, a := range m.dialed() {
		if a == address {
			n++
		}
	}
	return n
}

// A node that answers NO_ROUTE and names one that nobody reaches does not cost the caller its session.
func TestNoRouteToASilentMachineLeavesTheSessionAlone(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.town("alpha", "hole")[0]
		alpha.far("hole")
		alice := m.client("alpha:1", m.slowly("hole:1", 0))
		p := <-alpha.opened
		time.Sleep(5 * time.Second)
		start := time.Now()
		var others sync.WaitGroup
		others.Go(func() {
			for time.Since(start) < 29*time.Second {
				from := time.Now()
				e := wantError(t, alice.Call(t.Context(), "far.Do", []byte("far"), nil, Timeout(300*time.Millisecond)), NotExecuted, CodeNoRoute)
				if waited := time.Since(from); waited > 310*time.Millisecond || !slices.Equal(e.Try, []string{"hole"}) || e.CallID == 0 {
					t.Errorf("%+v after %s, want it as alpha answered it, in the call's budget", e, waited)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		for time.Since(start) < 29*time.Second {
			from := time.Now()
			if err := alice.Call(t.Context(), "near.Do", []byte("near"), nil, Timeout(time.Second)); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(from); waited > 0 {
				t.Fatalf("a call that alpha answers at once took %s", waited)
			}
			time.Sleep(10 * time.Millisecond)
		}
		others.Wait()
		p.wantOpen(t)
		if n := m.dialsOf("hole:1"); n != 1 {
			t.Errorf("the silent machine was dialed %d times in 30 s, want once", n)
		}
		if s := alice.States()[0]; s.Name != StateOpen || s.Node != "alpha" {
			t.Errorf("state is %v", s)
		}
		// After that it is worth another try, and at once when the node says that it is there.
		time.Sleep(5 * time.Second)
		wantError(t, alice.Call(t.Context(), "far.Do", []byte("far"), nil), NotExecuted, CodeNoRoute)
		if n := m.dialsOf("hole:1"); n != 2 {
			t.Errorf("the silent machine was dialed %d times, want once more after 30 s", n)
		}
		p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha")})
		p.tell(wire.KindNodes, &pb.Nodes{Nodes: known("alpha", "hole")})
		synctest.Wait()
		wantError(t, alice.Call(t.Context(), "far.Do", []byte("far"), nil), NotExecuted, CodeNoRoute)
		if n := m.dialsOf("hole:1"); n != 3 {
			t.Errorf("the silent machine was dialed %d times, want once more after it was told of", n)
		}
	})
}

// The session is used until the next one is open; only the call that wants to go elsewhere waits.
func TestMoveOpensTheNextSessionFirst(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "gamma")
		town[0].far("gamma")
		town[1].answer = echo
		heard := make(chan string, 8)
		alice := m.client("alpha:1", m.slowly("gamma:1", 500*time.Millisecond), func(o *Options) {
			o.OnConnect = func(c Connection) { heard <- "+" + c.Node }
			o.OnDisconnect = func(c Connection, cause error) { heard <- "-" + c.Node }
		})
		p := <-town[0].opened
		far := alice.ask(t.Context(), "far")
		synctest.Wait()
		if s := alice.Stats(); s.Waiting != 1 {
			t.Errorf("%d calls wait, want the one that goes elsewhere", s.Waiting)
		}
		alice.wantNodes(t, "alpha")
		alice.ask(t.Context(), "near").wantReply(t, "near")
		if n := len(town[1].opened); n != 0 {
			t.Fatal("gamma has a session already: the story proves nothing")
		}
		far.wantReply(t, "far")
		alice.ask(t.Context(), "near").wantReply(t, "near")
		<-p.gone
		alice.wantNodes(t, "gamma")
		hooks := []string{<-heard, <-heard, <-heard}
		slices.Sort(hooks[1:]) // those of different sessions run at once
		if want := []string{"+alpha", "+gamma", "-alpha"}; !slices.Equal(hooks, want) {
			t.Errorf("hooks heard %v, want %v", hooks, want)
		}
		// The next loss finds its way as ever.
		(<-town[1].opened).kill()
		<-town[0].opened
		alice.wantNodes(t, "alpha")
		if s := alice.Stats(); s.Rerouted != 1 {
			t.Errorf("%d calls were rerouted, want 1", s.Rerouted)
		}
	})
}

// What happens to a call that waits for the next session while something else happens.
func TestMoveThatIsInterrupted(t *testing.T) {
	begin := func(t *testing.T, m *mesh, takes time.Duration) (alice *Client, town []*node, p *peer, far *ask, giveUp func()) {
		town = m.town("alpha", "gamma", "delta")
		town[0].far("gamma")
		town[1].answer, town[2].answer = echo, echo
		alice = m.client("alpha:1", m.slowly("gamma:1", takes))
		p = <-town[0].opened
		ctx, cancel := context.WithCancel(t.Context())
		far = alice.ask(ctx, "far")
		synctest.Wait()
		if s := alice.Stats(); s.Waiting != 1 {
			t.Fatalf("%d calls wait, want 1", s.Waiting)
		}
		return alice, town, p, far, cancel
	}
	t.Run("lost", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, town, p, far, cancel := begin(t, m, 0)
			defer cancel()
			town[0].set(func() { town[0].down = true })
			from := time.Now()
			p.kill()
			far.wantReply(t, "far")
			if waited := time.Since(from); waited > dialQuickly+2*spreadLoss {
				t.Errorf("the way to delta took %s", waited)
			}
			alice.wantNodes(t, "delta")
		})
	})
	t.Run("goaway", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, _, p, far, cancel := begin(t, m, 0)
			defer cancel()
			p.goaway(wire.Draining, known("delta")...)
			synctest.Wait()
			far.wantReply(t, "far")
			alice.wantNodes(t, "delta")
		})
	})
	t.Run("replaced", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, _, p, far, cancel := begin(t, m, 0)
			defer cancel()
			p.goaway(wire.Replaced)
			<-alice.Replaced()
			far.wantError(t, NotExecuted, CodeReplaced)
			<-p.gone
		})
	})
	t.Run("refused as replaced", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, town, p, far, cancel := begin(t, m, time.Second)
			defer cancel()
			town[1].set(func() { town[1].refuse = &pb.Refuse{Code: uint32(wire.Replaced)} })
			<-alice.Replaced()
			far.wantError(t, NotExecuted, CodeReplaced)
			<-p.gone
		})
	})
	t.Run("refused", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, town, _, far, cancel := begin(t, m, time.Second)
			defer cancel()
			town[1].set(func() { town[1].refuse = &pb.Refuse{Code: uint32(wire.Overloaded), RetryAfterMs: 60_000} })
			far.wantError(t, NotExecuted, CodeNoRoute)
			alice.wantNodes(t, "alpha")
			time.Sleep(40 * time.Second)
			alice.ask(t.Context(), "far").wantError(t, NotExecuted, CodeNoRoute)
			if n := m.dialsOf("gamma:1"); n != 1 {
				t.Errorf("gamma was asked %d times within the minute that it does not want to be", n)
			}
			time.Sleep(30 * time.Second)
			town[1].set(func() { town[1].refuse = nil })
			alice.ask(t.Context(), "far").wantReply(t, "far")
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, _, _, far, cancel := begin(t, m, 0)
			cancel()
			far.wantError(t, NotExecuted, CodeCancelled)
			alice.wantNodes(t, "alpha")
		})
	})
	t.Run("closed", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, _, _, far, cancel := begin(t, m, 0)
			defer cancel()
			alice.Close()
			if e := far.wantError(t, NotExecuted, CodeCancelled); !errors.Is(e, ErrClosed) {
				t.Errorf("%v is not ErrClosed", e)
			}
		})
	})
	t.Run("stopped", func(t *testing.T) {
		story(t, func(t *testing.T, m *mesh) {
			alice, _, _, far, cancel := begin(t, m, time.Second)
			defer cancel()
			alice.Drain(t.Context())
			far.wantError(t, NotExecuted, CodeNoRoute)
			alice.wantNodes(t, "alpha")
		})
	})
}

// Calls that wait for a move are bounded as those are that wait for a session.
func TestCallsThatWaitForAMoveAreBounded(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		m.town("alpha", "hole")[0].far("hole")
		alice := m.client("alpha:1", m.slowly("hole:1", 0))
		var all []*ask
		for range maxWaiting + 10 {
			all = append(all, alice.ask(t.Context(), "far"))
			synctest.Wait()
		}
		if s := alice.Stats(); s.Waiting != maxWaiting {
			t.Errorf("%d calls wait, want %d", s.Waiting, maxWaiting)
		}
		for _, a := range all {
			a.wantError(t, NotExecuted, CodeNoRoute)
		}
	})
}

// UNKNOWN names the attempt that may have run, however the later ones ended.
func TestUnknownNamesTheAttemptThatMayHaveRun(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		lose := func(a string) (first wire.Frame, session uint64, pending *ask) {
			p := <-alpha.opened
			pending = alice.ask(t.Context(), a, Idempotent{}, Timeout(3*time.Second))
			first = <-p.requests
			p.kill()
			return first, p.number<<8 | 'a', pending
		}
		want := func(e *Error, session, id uint64) {
			t.Helper()
			if e.Session != session || e.CallID != id {
				t.Errorf("%v names (%d, %d), want (%d, %d), which may have run", e, e.Session, e.CallID, session, id)
			}
		}
		// The second was answered: it did not run.
		first, session, a := lose("one")
		p := <-alpha.opened
		f := <-p.requests
		p.reply(&f, wire.NoInstance, &pb.ResponseHeader{Node: "alpha"}, "")
		want(a.wantError(t, Unknown, CodeConnectionLost), session, first.CallID)
		// Neither is known: the last one is named.
		alpha.opened <- p
		_, _, b := lose("two")
		p = <-alpha.opened
		f = <-p.requests
		p.reply(&f, wire.Timeout, nil, "")
		want(b.wantError(t, Unknown, CodeTimeout), p.number<<8|'a', f.CallID)
		// No second attempt came about.
		alpha.opened <- p
		alpha.set(func() { alpha.down = true })
		first, session, c := lose("three")
		want(c.wantError(t, Unknown, CodeConnectionLost), session, first.CallID)
	})
}

// Those that another process has replaced hear that, on each of their sessions.
func TestReplacedIsTheCauseOnAllSessions(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		town := m.town("alpha", "beta")
		var mu sync.Mutex
		causes := map[string]error{}
		var log strings.Builder
		shop := m.server("alpha:1", func(o *Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			o.OnDisconnect = func(c Connection, cause error) {
				mu.Lock()
				defer mu.Unlock()
				causes[c.Node] = cause
			}
		})
		p, q := <-town[0].opened, <-town[1].opened
		synctest.Wait()
		p.goaway(wire.Replaced)
		<-shop.Replaced()
		<-p.gone
		<-q.gone
		shop.Close()
		for _, name := range []string{"alpha", "beta"} {
			if !errors.Is(causes[name], CodeReplaced) {
				t.Errorf("the session with %s ended because of %v, want REPLACED", name, causes[name])
			}
		}
		if strings.Contains(log.String(), errLeft.Error()) {
			t.Errorf("the log says that a session moved:\n%s", log.String())
		}
		for _, c := range []*peer{p, q} {
			for f := range drained(c.control) {
				if f.Kind == wire.KindGoaway && !strings.Contains(string(f.Header), "replaced") {
					t.Errorf("%s was told %q", c.node.name, f.Header)
				}
			}
		}
	})
}

// drained yields what is in the channel.
func drained(frames chan wire.Frame) func(yield func(wire.Frame) bool) {
	return func(yield func(wire.Frame) bool) {
		for len(frames) > 0 {
			if !yield(<-frames) {
				return
			}
		}
	}
}
