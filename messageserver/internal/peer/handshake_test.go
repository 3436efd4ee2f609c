package peer

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// alone plays with one node of a mesh of three; the parts of the others are a test's.
func alone(t *testing.T, name string, play func(m *mesh, n *node), edits ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b c", edits...)
		defer m.end()
		play(m, m.start(name))
	})
}

// refusalCase is a HELLO that is not taken, and what is said of it.
type refusalCase struct {
	name  string
	hello func(*pb.Hello)
	code  wire.Code
	words string
}

func refusalCases(self string) []refusalCase {
	return []refusalCase{
		{"form, all problems at once", func(h *pb.Hello) { h.BootId, h.Incarnation = nil, 0 }, wire.BadRequest, "boot_id"},
		{"another version", func(h *pb.Hello) { h.VersionMin, h.VersionMax = 7, 9 }, wire.Unimplemented, "version"},
		{"another mesh", func(h *pb.Hello) { h.Mesh = "other" }, wire.Denied, "the mesh here is test, not other"},
		{"its own name", func(h *pb.Hello) { h.Node = self }, wire.Denied, "must not have its name"},
		{"nobody's name", func(h *pb.Hello) { h.Node = "zoe" }, wire.Denied, "zoe is not in the members"},
		{"another number", func(h *pb.Hello) { h.Number = 99 }, wire.Denied, "not 99"},
	}
}

func TestWhoIsRefusedByTheAcceptor(t *testing.T) {
	cases := append(refusalCases("b"), refusalCase{
		"the other one dials", func(h *pb.Hello) { h.Node, h.Number = "c", 3 }, wire.BadRequest, "the smaller name dials",
	})
	for _, c := range cases {
		for _, key := range []string{"", meshSecret} {
			t.Run(fmt.Sprintf("%s, secret %t", c.name, key != ""), func(t *testing.T) {
				alone(t, "b", func(m *mesh, b *node) {
					s := b.visit("a")
					h := m.helloOf("a", c.hello)
					if c.code == wire.Unimplemented || strings.HasPrefix(c.name, "form") {
						s.knock(h, "") // refused before the proof
					} else {
						s.knock(h, key)
					}
					if r := s.wantRefuse(c.code); !strings.Contains(r.GetMessage(), c.words) {
						t.Errorf("refused because %q, want %q", r.GetMessage(), c.words)
					}
				}, func(o *Options) { o.Secret = key })
			})
		}
	}
}

func TestWhoIsRefusedByTheDialler(t *testing.T) {
	cases := append(refusalCases("a"), refusalCase{
		"another member", func(h *pb.Hello) { h.Node, h.Number = "c", 3 }, wire.Denied, "node b was dialled, and node c answers there",
	}, refusalCase{
		"another version than WELCOME says", func(h *pb.Hello) { h.VersionMax = 2 }, wire.BadRequest, "version",
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, "a b c")
				defer m.end()
				s := m.stand("b")
				a := m.start("a")
				s.pickUp()
				s.takeHello()
				version := uint32(1)
				if c.name == "another version than WELCOME says" {
					version = 2
				}
				s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: version}), frameOf(wire.KindHello, m.helloOf("b", c.hello)))
				if r := s.wantRefuse(c.code); !strings.Contains(r.GetMessage(), c.words) {
					t.Errorf("refused because %q, want %q", r.GetMessage(), c.words)
				}
				s.leave()
				if l := a.link("b"); l.State != StateRefused || !strings.Contains(l.Cause, c.words) {
					t.Errorf("the link is %s because %q, want refused because %q", l.State, l.Cause, c.words)
				}
				if got := a.peers.Counters().Opened.Load(); got != 0 {
					t.Errorf("%d links were opened", got)
				}
			})
		})
	}
}

func TestSecrets(t *testing.T) {
	const wrong = "a secret of another mesh"
	for _, c := range []struct{ name, a, b, atA, atB string }{
		{"the same", meshSecret, meshSecret, "", ""},
		{"another one", meshSecret, wrong, "the secret is another one", "the secret is another one"},
		{"the dialler has none", "", meshSecret, "this mesh has a secret", "this mesh has a secret"},
		{"the acceptor has none", meshSecret, "", "this node has none", "this node has none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, "a b")
				defer m.end()
				b := m.start("b", func(o *Options) { o.Secret = c.b })
				a := m.start("a", func(o *Options) { o.Secret = c.a })
				if c.atA == "" {
					m.wantUp(time.Second)
					return
				}
				time.Sleep(30 * time.Second)
				l := a.link("b")
				if l.State != StateRefused && l.State != StateConnecting || !strings.Contains(l.LastError, c.atA) {
					t.Errorf("at a: %s, %q, want %q", l.State, l.LastError, c.atA)
				}
				if got := b.log.lines("link refused", c.atB); len(got) != 1 {
					t.Errorf("b wrote %q, want one line with %q", got, c.atB)
				}
				if got := a.log.lines("link refused"); len(got) != 1 {
					t.Errorf("a wrote %q, want one line", got)
				}
				for _, n := range m.nodes {
					if n.peers.Counters().Opened.Load() != 0 {
						t.Errorf("%s has opened a link", n.name)
					}
					if text := fmt.Sprint(n.log.lines("")); strings.Contains(text, meshSecret) || strings.Contains(text, wrong) {
						t.Errorf("%s has written a secret", n.name)
					}
				}
			})
		})
	}
}

// TestAnAcceptorHasToProveItselfToo: a WELCOME without the server's final message may come from anybody.
func TestAnAcceptorHasToProveItselfToo(t *testing.T) {
	for name, impostor := range map[string]func(s *stranger, m *mesh){
		"no challenge": func(s *stranger, m *mesh) {
			s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1}), frameOf(wire.KindHello, m.helloOf("b")))
		},
		"no final message": func(s *stranger, m *mesh) {
			s.takeProof(s.challenge(meshSecret))
			s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1}), frameOf(wire.KindHello, m.helloOf("b")))
		},
		"another final message": func(s *stranger, m *mesh) {
			final := s.takeProof(s.challenge(meshSecret))
			final[len(final)-3] ^= 1
			s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1, ScramServerFinal: final}), frameOf(wire.KindHello, m.helloOf("b")))
		},
		"a refusal that wants a higher incarnation": func(s *stranger, m *mesh) {
			before := m.nodes["a"].peers.opts.Incarnation.Value()
			s.send(frameOf(wire.KindRefuse, &pb.Refuse{Code: uint32(wire.BadRequest), Message: "too low", MinIncarnation: before + 1000}))
			s.wantEnd()
			if got := m.nodes["a"].peers.opts.Incarnation.Value(); got != before {
				s.t.Errorf("a raised its incarnation from %d to %d for who has not proved itself", before, got)
			}
		},
		"a challenge that repeats nothing": func(s *stranger, _ *mesh) {
			s.send(frameOf(wire.KindChallenge, &pb.Challenge{ScramServerFirst: []byte("r=abc,s=YWJj,i=4096")}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, "a b", secret)
				defer m.end()
				s := m.stand("b")
				a := m.start("a")
				s.pickUp()
				s.takeHello()
				impostor(s, m)
				s.wantEnd()
				s.leave()
				l := a.link("b")
				if l.State != StateRefused || a.peers.Counters().Opened.Load() != 0 {
					t.Errorf("the link is %s: %s", l.State, l.Cause)
				}
				if name == "no challenge" && !strings.Contains(l.Cause, "asked for no secret") {
					t.Errorf("refused because %q", l.Cause)
				}
			})
		})
	}
}

// TestALowIncarnationIsRaised: a's file was lost, and its clock has gone back.
func TestALowIncarnationIsRaised(t *testing.T) {
	for _, name := range []string{"a", "b"} { // the dialler, the acceptor
		t.Run(name, func(t *testing.T) {
			story(t, "a b", func(m *mesh) {
				m.wantUp(time.Second)
				other := m.nodes["b"]
				if name == "b" {
					other = m.nodes["a"]
				}
				m.nodes[name].login("pay", "pay-1", "Move")
				other.wantKnown(time.Second, "pay", "pay-1")
				before := other.link(name).Incarnation
				time.Sleep(2 * time.Second) // a link that was of use
				m.kill(name)
				if !(other.link(name).Entries == 1) {
					t.Error("entries of a node that is gone are not kept")
				}
				again := m.start(name, func(o *Options) {
					low, err := OpenIncarnation("", time.Now().Add(-1000*time.Hour))
					if err != nil {
						t.Fatal(err)
					}
					o.Incarnation = low
				})
				m.within(6*time.Second, "it is raised", func() bool { return len(again.log.lines("incarnation raised")) == 1 })
				m.wantUp(150 * time.Millisecond)
				if got := other.link(name); got.Incarnation <= before || got.Entries != 0 {
					t.Errorf("%s has incarnation %d with %d entries, and had %d before", name, got.Incarnation, got.Entries, before)
				}
				if got := again.log.lines("incarnation raised"); len(got) != 1 {
					t.Errorf("%s wrote %q", name, got)
				}
				if other.router.HasInstance("pay", "pay-1") {
					t.Error("a session of the process before is there")
				}
			}, withSecret)
		})
	}
}

// withSecret gives a mesh its secret.
func withSecret(o *Options) { o.Secret = meshSecret }

func TestAnIncarnationThatCannotBeRaised(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		s := b.visit("a")
		s.knock(m.helloOf("a"), "")
		s.wantIn()
		before := b.peers.opts.Incarnation.Value()
		s.send(frameOf(wire.KindRefuse, &pb.Refuse{Code: uint32(wire.BadRequest), Message: "too low\x1b[2J", MinIncarnation: 1<<63 - 2}))
		s.wantEnd()
		s.leave()
		if got := b.peers.opts.Incarnation.Value(); got != before {
			t.Errorf("raised to %d", got)
		}
		l := b.link("a")
		if l.State != StateRefused || !strings.Contains(l.Cause, "will not get more") {
			t.Errorf("the link is %s: %q", l.State, l.Cause)
		}
	})
}

func TestWhatTheOtherSideSaysIsFitForALog(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		s := b.visit("a")
		s.knock(m.helloOf("a"), "")
		s.wantIn()
		s.send(frameOf(wire.KindRefuse, &pb.Refuse{Code: 9999, Message: "no\x1b[2J" + strings.Repeat("x", 60_000)}))
		s.wantEnd()
		s.leave()
		if l := b.link("a"); strings.ContainsAny(l.Cause, "\x1b\n") || len(l.Cause) > 400 || !strings.Contains(l.Cause, "no?[2Jxxx") {
			t.Errorf("the cause is %q", l.Cause)
		}
	})
}

func TestOneOfTwoProcessesWithANameIsRefused(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		first := b.visit("a")
		first.knock(m.helloOf("a"), "")
		first.wantIn()
		first.beat(1 << 50)
		synctest.Wait()
		b.wantState("a", StateUp)

		clone := b.visit("a")
		clone.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId, h.Incarnation = []byte("fedcba9876543210"), 1<<50+5 }), "")
		time.Sleep(time.Second)
		first.beat(1 << 50)
		if r := clone.wantRefuse(wire.Denied); !strings.Contains(r.GetMessage(), "runs already, as another process") {
			t.Error(r.GetMessage())
		}
		b.wantState("a", StateUp)
		m.within(200*time.Millisecond, "b says so", func() bool { return b.troubles(NodeClone, "a") == 1 })

		next := b.visit("a") // the first one says nothing any more
		began := time.Now()
		next.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId, h.Incarnation = []byte("fedcba9876543210"), 1<<50+5 }), "")
		next.wantIn()
		if took := time.Since(began); took < 1200*time.Millisecond || took > 1300*time.Millisecond {
			t.Errorf("taken after %v, want 1.25 s", took)
		}
		first.wantEnd()
		next.beat(1<<50 + 5)
		synctest.Wait()
		b.wantState("a", StateUp)

		same := b.visit("a") // of the same process: it knows better
		began = time.Now()
		same.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId, h.Incarnation = []byte("fedcba9876543210"), 1<<50+5 }), "")
		same.wantIn()
		next.wantEnd()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("taken after %v", took)
		}
		same.beat(1<<50 + 5)
		synctest.Wait()
		b.wantState("a", StateUp)

		old := b.visit("a") // a process that is older than what was seen does not end a link
		old.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId = []byte("fedcba9876543210") }), "")
		if r := old.wantRefuse(wire.BadRequest); r.GetMinIncarnation() != 1<<50+5 {
			t.Errorf("min_incarnation is %d", r.GetMinIncarnation())
		}
		b.wantState("a", StateUp)
		same.leave()

		equal := b.visit("a") // who has restarted must show it
		equal.knock(m.helloOf("a", func(h *pb.Hello) { h.Incarnation = 1<<50 + 5 }), "")
		if r := equal.wantRefuse(wire.BadRequest); r.GetMinIncarnation() != 1<<50+5 {
			t.Errorf("min_incarnation is %d", r.GetMinIncarnation())
		}
		m.within(62*time.Second, "the trouble is over", func() bool { return b.troubles(NodeClone, "a") == 0 })
	})
}

func TestTwoProcessesThatKnockAtOnceAreBothRefused(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		first := b.visit("a")
		first.knock(m.helloOf("a"), "")
		first.wantIn()
		first.beat(1 << 50)
		var clones []*stranger
		for _, boot := range []string{"fedcba9876543210", "0123456789fedcba"} {
			clone := b.visit("a")
			clone.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId, h.Incarnation = []byte(boot), 1<<50+5 }), "")
			clones = append(clones, clone)
		}
		time.Sleep(time.Second)
		first.beat(1 << 50)
		for _, clone := range clones {
			clone.wantRefuse(wire.Denied)
		}
		b.wantState("a", StateUp)
	})
}

func TestAHandshakeHasFourKiBAndFiveSeconds(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		slow := b.visit("a")
		slow.write([]byte(wire.Preface))
		began := time.Now()
		slow.wantEnd()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("closed after %v, want 5 s", took)
		}
		large := b.visit("a")
		large.write([]byte(wire.Preface))
		large.write(bytes.Repeat((&wire.Frame{Kind: 200}).Append(nil), 200)) // kinds that are skipped
		large.wantEnd()
		long := b.visit("a")
		long.write([]byte(wire.Preface))
		long.send(frameOf(wire.KindHello, m.helloOf("a", func(h *pb.Hello) { h.ScramClientFirst = make([]byte, 5000) })))
		long.wantRefuse(wire.BadRequest)
		long.leave()
		synctest.Wait()
		b.peers.mu.Lock()
		if waiting := len(b.peers.lobby); waiting != 0 {
			t.Errorf("%d are in the lobby", waiting)
		}
		b.peers.mu.Unlock()
	})
	synctest.Test(t, func(t *testing.T) { // the dialler reads no more, and waits no longer
		m := newMesh(t, "a b")
		defer m.end()
		s := m.stand("b")
		a := m.start("a")
		s.pickUp()
		began := time.Now()
		s.takeHello()
		s.wantEnd()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("closed after %v, want 5 s", took)
		}
		s.leave()
		s.pickUp()
		s.takeHello()
		s.write(bytes.Repeat((&wire.Frame{Kind: 200}).Append(nil), 200))
		s.wantEnd()
		s.leave()
		s.pickUp()
		s.takeHello()
		s.write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request"))
		s.wantEnd()
		s.leave()
		if l := a.link("b"); l.State != StateRefused {
			t.Errorf("%s: %s", l.State, l.Cause)
		}
	})
}

func TestTheLobbyIsBounded(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		var waiting []*stranger
		for range maxLobbyPerAddress {
			waiting = append(waiting, b.visit("a"))
		}
		synctest.Wait()
		for range 3 {
			b.visit("a").wantEnd()
		}
		if got := b.log.lines("link refused", "too many connections"); len(got) != 1 {
			t.Errorf("b wrote %q", got)
		}
		waiting[0].knock(m.helloOf("a"), "") // who is in gets through
		waiting[0].wantIn()
		waiting[1].leave()
		late := b.visit("a")
		late.knock(m.helloOf("a"), "")
		late.wantIn()
	})
}

// TestTheLobbyIsBoundedInAll, however many addresses somebody has.
func TestTheLobbyIsBoundedInAll(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		from := func(i int) net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i)), Port: 9} }
		for i := range maxLobby {
			b.visitFrom(from(i))
		}
		synctest.Wait()
		began := time.Now()
		b.visitFrom(from(maxLobby)).wantEnd()
		if took := time.Since(began); took != 0 {
			t.Errorf("one too many is kept for %v", took)
		}
		time.Sleep(5 * time.Second) // the others had their time
		s := b.visitFrom(from(0))
		s.knock(m.helloOf("a"), "")
		s.wantIn()
	})
}

func TestOnePrefaceAndNothingElse(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		for _, said := range []string{"GET / HTTP/1.1\r\n\r\n", "2HOP\x02\x00\x00\x00", "\x16\x03\x01"} {
			s := b.visit("a")
			s.write([]byte(said))
			if f, err := s.next(time.Second); err == nil || len(s.in) != 0 {
				t.Errorf("to %q: %s", said, f.Kind)
			}
		}
	})
}

func TestWhatHelloSays(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		s := b.visit("a")
		s.knock(m.helloOf("a", func(h *pb.Hello) { h.ModuleAddress = "10.0.0.1:7070" }), "")
		s.wantIn()
		h := s.hello
		if h.GetNode() != "b" || h.GetNumber() != 2 || h.GetModuleAddress() != "modules-of-b" || h.GetMembershipHash() != b.peers.MembershipHash() ||
			h.GetIncarnation() != b.peers.opts.Incarnation.Value() || h.GetKnownIncarnation() != 1<<50 || h.GetKnownVersion() != 0 {
			t.Errorf("b says %v", h)
		}
		s.beat(1 << 50)
		synctest.Wait()
		nodes := b.peers.Nodes()
		if len(nodes) != 2 || nodes[0].GetName() != "b" || nodes[1].GetAddress() != "10.0.0.1:7070" {
			t.Errorf("nodes %v", nodes)
		}
	})
}

// TestAConnectionMayBreakAtEveryByte of the handshake, in both roles.
func TestAConnectionMayBreakAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b", secret)
		defer m.end()
		b := m.start("b")
		a := m.start("a")
		m.wantUp(time.Second)
		for end := range 2 {
			for cut := 0; cut < 700; cut += 7 {
				here, there := testkit.Pipe(testkit.PipeOptions{})
				ends := []*testkit.PipeConn{here, there}
				ends[end].FailWriteAfter(cut, net.ErrClosed)
				b.serve(there)
				l := newLink(a.peers, here, memberOf(a, "b"))
				a.peers.running.Go(l.run)
				<-l.left
			}
		}
		m.wantUp(10 * time.Second)
	})
}

func memberOf(n *node, name string) *member {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	return n.peers.members[name]
}
