package session

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestALoginHasFiveSeconds(t *testing.T) {
	keys := func(o *Options) { o.Keys = map[string]ModuleKeys{"web": {1: webSecret}} }
	hello := loginOf("web", "web-1", pb.Role_ROLE_CALLER)
	for name, begin := range map[string]func(m *module){
		"silence": func(*module) {},
		"preface": func(m *module) { m.write([]byte(wire.Preface[:5])) },
		"half":    func(m *module) { m.write([]byte(wire.Preface + "\x00\x00\x0f\x00\x01")) },
		"no proof": func(m *module) {
			m.write([]byte(wire.Preface))
			m.send(newLoginClient(t, "web", webSecret, 1).login())
			m.want(wire.KindChallenge)
		},
		"PINGs": func(m *module) {
			m.write([]byte(wire.Preface))
			for range 4 {
				m.wantPong()
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(n *node) {
				start := time.Now()
				m := n.connect(testkit.PipeOptions{})
				begin(m)
				m.wantEnd()
				if took := time.Since(start); took != 5*time.Second {
					t.Errorf("closed after %v", took)
				}
			}, keys)
		})
	}
	story(t, func(n *node) {
		m := n.login(hello, testkit.PipeOptions{})
		time.Sleep(time.Hour) // a short session is neither pinged nor closed
		m.wantPong()
	})
}

func TestALoginHasFourKiB(t *testing.T) {
	ping := wire.Frame{Kind: wire.KindPing}
	skipped := wire.Frame{Kind: 200, Header: make([]byte, 1000)}
	login := header(wire.KindLogin, loginOf("web", "", pb.Role_ROLE_CALLER))
	for name, frames := range map[string][]wire.Frame{
		"PINGs":                   append(slices.Repeat([]wire.Frame{ping}, 200), login),
		"kinds that are skipped":  append(slices.Repeat([]wire.Frame{skipped}, 4), login),
		"and LOGIN is part of it": append(slices.Repeat([]wire.Frame{ping}, 127), login),
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunk := range []int{1, 31, 4 << 10, 1 << 20} {
				story(t, func(n *node) {
					m := n.connect(testkit.PipeOptions{Chunk: func(int) int { return chunk }})
					m.write([]byte(wire.Preface))
					m.send(frames...)
					for {
						f, err := m.next()
						if err != nil {
							break
						}
						if f.Kind != wire.KindPong {
							t.Fatalf("got %s, want the end", describe(f))
						}
					}
				})
			}
		})
	}
	t.Run("one frame less", func(t *testing.T) {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			m.write([]byte(wire.Preface))
			m.send(append(slices.Repeat([]wire.Frame{ping}, 100), header(wire.KindLogin, loginOf("web", "", pb.Role_ROLE_CALLER)))...)
			for range 100 {
				m.want(wire.KindPong)
			}
			m.wantWelcome()
			m.send(request(1, "nobody.Move", func(r *wire.Request) { r.UserData = make([]byte, 1000) })) // and now there is room
			m.wantAnswer(1, wire.NoModule)
		})
	})
	t.Run("a message in parts", func(t *testing.T) {
		story(t, func(n *node) {
			m := n.connect(testkit.PipeOptions{})
			m.write([]byte(wire.Preface))
			first := request(1, "pay.Move")
			first.Flags |= wire.FlagMore
			m.send(first)
			m.wantRefuse(wire.BadRequest)
		})
	})
}

func TestPlacesBeforeTheLogin(t *testing.T) {
	here, there := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	login := header(wire.KindLogin, loginOf("web", "", pb.Role_ROLE_CALLER))
	enter := func(m *module) { m.write(login.Append([]byte(wire.Preface))) }
	story(t, func(n *node) {
		var taken []*module
		for range 2 {
			taken = append(taken, n.connectFrom(testkit.PipeOptions{}, here))
		}
		synctest.Wait()
		start := time.Now()
		crowded := n.connectFrom(testkit.PipeOptions{}, here)
		elsewhere := n.connectFrom(testkit.PipeOptions{}, there)
		enter(elsewhere)
		elsewhere.wantWelcome()
		n.wantConsistent()
		enter(crowded)
		crowded.wantEnd()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("closed after %v, want a second", waited)
		}
		// Who waits comes in when it is its turn, as soon as there is room: somebody logs in, or gives up.
		first, second := n.connectFrom(testkit.PipeOptions{}, here), n.connectFrom(testkit.PipeOptions{}, here)
		enter(first)
		synctest.Wait()
		enter(second)
		second.wantSilence()
		enter(taken[0])
		taken[0].wantWelcome()
		first.wantWelcome()
		second.wantWelcome()
		taken[1].leave()
		n.wantConsistent()
	}, func(o *Options) { o.MaxPending = 2 })
}

func TestLoginsPerSecond(t *testing.T) {
	story(t, func(n *node) {
		login := header(wire.KindLogin, loginOf("web", "", pb.Role_ROLE_CALLER))
		try := func() *module {
			m := n.connect(testkit.PipeOptions{})
			m.write(login.Append([]byte(wire.Preface)))
			return m
		}
		for range 3 {
			for range 5 {
				try().wantWelcome()
			}
			if r := try().wantRefuse(wire.Overloaded); r.GetRetryAfterMs() < 1000 || r.GetRetryAfterMs() > 10_000 {
				t.Errorf("retry after %d ms", r.GetRetryAfterMs())
			}
			time.Sleep(time.Second)
		}
		try().wantWelcome()
	}, func(o *Options) { o.LoginsPerSecond = 5 })
}

func TestLobbyTurnAtTheLastMoment(t *testing.T) {
	l, addr := newLobby(1), remote{}.ip
	for range 1000 {
		if !l.enter(addr, 0) {
			t.Fatal("no place in an empty lobby")
		}
		got := make(chan bool)
		go func() { got <- l.enter(addr, 1) }()
		l.leave(addr)
		if <-got {
			l.leave(addr)
		}
		if err := l.check(); err != nil || len(l.queues) != 0 {
			t.Fatalf("%v, and %d queues are left", err, len(l.queues))
		}
	}
}
