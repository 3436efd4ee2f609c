package caller

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestRacesEndEachCallOnce has answers (also late and twice), refusals, cancels, deadlines, lost and left connections race
// over many calls. Each ends once, with its own answer, and says nothing that the nodes know to be untrue.
func TestRacesEndEachCallOnce(t *testing.T) {
	t.Run("one session", func(t *testing.T) { raceCalls(t, func(*Options) {}) })
	t.Run("two sessions", func(t *testing.T) {
		raceCalls(t, func(o *Options) { o.Server, o.Connections, o.Login.Role = idleServer{}, 2, pb.Role_ROLE_BOTH })
	})
}

func raceCalls(t *testing.T, change func(*Options)) {
	calls := 20_000
	if testing.Short() {
		calls = 4_000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	story(t, func(t *testing.T, m *mesh) {
		var mu sync.Mutex
		started := make(map[uint64]int, calls) // number of the call → starts of its handler
		answer := func(p *peer, f *wire.Frame) {
			number := binary.BigEndian.Uint64(f.Body)
			respond := func() {
				mu.Lock()
				started[number]++
				mu.Unlock()
				echo(p, f)
			}
			kept := *f
			switch n := rand.IntN(100); {
			case n < 60:
				respond()
			case n < 70:
				respond()
				p.reply(&kept, wire.Timeout, nil, "twice")
			case n < 76:
				p.reply(f, wire.RateLimited, nil, "")
			case n < 80:
				p.reply(f, wire.StaleRoute, nil, "")
			case n < 92:
				time.AfterFunc(rand.N(300*time.Millisecond), respond)
			case n < 94:
				respond()
				p.kill()
			case n < 95:
				p.kill()
			case n < 96:
				p.goaway(wire.Draining)
				respond()
			case n < 98:
				p.reply(f, wire.NoRoute, &pb.ResponseHeader{Node: p.node.name, Try: []string{"alpha", "beta", "gamma"}}, "")
			}
		}
		for _, name := range []string{"alpha", "beta", "gamma"} {
			n := m.node(name, name+":1")
			n.answer, n.policy = answer, true
		}
		alice := m.client("alpha:1,beta:1,gamma:1", change, func(o *Options) { o.backoffStep, o.settled = 5*time.Millisecond, 0 })
		random := rand.New(rand.NewPCG(seed, 1))
		var all sync.WaitGroup
		turns := make(chan struct{}, 64)
		for number := range uint64(calls) {
			turns <- struct{}{}
			timeout, cancelAfter := time.Duration(1+random.IntN(400))*time.Millisecond, time.Duration(-1)
			if random.IntN(5) == 0 {
				cancelAfter = time.Duration(random.IntN(100)) * time.Millisecond
			}
			var opts []CallOption
			if random.IntN(3) == 0 {
				opts = append(opts, Idempotent{})
			}
			if number%100 == 99 {
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) // sleeps: in story's bubble, time is virtual
			}
			all.Go(func() {
				defer func() { <-turns }()
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				if cancelAfter >= 0 {
					defer time.AfterFunc(cancelAfter, cancel).Stop()
				}
				body := binary.BigEndian.AppendUint64(nil, number)
				var out []byte
				from := time.Now()
				err := alice.Call(ctx, "shop.Buy", body, &out, opts...)
				if waited := time.Since(from); waited > timeout+graceTime {
					t.Errorf("call %d took %s, its deadline was %s", number, waited, timeout)
				}
				mu.Lock()
				starts := started[number]
				mu.Unlock()
				switch {
				case err == nil && string(out) != string(body):
					t.Errorf("call %d has the answer of call %x", number, out)
				case err == nil && starts == 0:
					t.Errorf("call %d was answered and never ran", number)
				case errors.Is(err, ErrNotExecuted) && starts > 0:
					t.Errorf("call %d ran, and ends %v", number, err)
				case len(opts) == 0 && starts > 1:
					t.Errorf("call %d ran %d times", number, starts)
				case err != nil && !errors.Is(err, ErrNotExecuted) && !errors.Is(err, ErrUnknown):
					t.Errorf("call %d ends %v", number, err)
				}
			})
		}
		all.Wait()
		if err := alice.ConsistencyCheck(); err != nil {
			t.Error(err)
		}
		t.Logf("%+v", alice.Stats())
		if s := alice.Stats(); s.InFlight != 0 || s.Waiting != 0 || s.Late == 0 || s.Resent == 0 || s.Rerouted == 0 {
			t.Errorf("after all calls: %+v, want none open, and some late, resent and rerouted", s)
		}
	})
}

// TestStartAndStop closes clients at random moments of their calls.
func TestStartAndStop(t *testing.T) {
	for i := range 200 {
		story(t, func(t *testing.T, m *mesh) {
			for _, n := range m.town("alpha", "beta") {
				n.answer = func(p *peer, f *wire.Frame) {
					if rand.IntN(4) > 0 {
						echo(p, f)
					}
				}
			}
			start := m.client
			if i%2 == 0 {
				start = m.server
			}
			alice := start("alpha:1")
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 4 {
						err := alice.Call(t.Context(), "shop.Buy", []byte("x"), nil, Timeout(20*time.Millisecond))
						var e *Error
						if err != nil && !errors.As(err, &e) {
							t.Errorf("got %v", err)
						}
					}
				})
			}
			time.Sleep(rand.N(50 * time.Millisecond)) // sleeps: in story's bubble, time is virtual
			for range 2 {
				all.Go(func() {
					if i%4 == 0 {
						alice.Drain(t.Context())
					}
					alice.Close()
				})
			}
			all.Wait()
			wantConsistent(t, alice)
		})
	}
}
