package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// wantReplaced waits until an instance ends because another process has its name, and is away.
func (m *module) wantReplaced() {
	m.c.t.Helper()
	select {
	case err := <-m.done:
		if !errors.Is(err, rpcserver.ErrReplaced) {
			m.c.t.Errorf("%s ended with %v, want REPLACED", m.name, err)
		}
		m.done <- err
	case <-time.After(slack * 5 * time.Second):
		m.c.t.Fatalf("%s goes on", m.name)
	}
}

// running reports whether an instance has not ended.
func (m *module) running() bool {
	select {
	case err := <-m.done:
		m.done <- err
		return false
	default:
		return true
	}
}

// process tells processes of one name apart.
func (m *module) process() string {
	_, uuid := m.server.Instance()
	return uuid
}

// wantHolder waits until every node sends the calls of a module's instance to one process.
func (m *mesh) wantHolder(holder *module, moduleName, instance string, callers ...*caller) {
	m.t.Helper()
	for _, a := range callers {
		m.withinSaying(2*time.Second, func() string {
			return fmt.Sprintf("%s does not reach the process of %s that has the name", a.name, instance)
		}, func() bool {
			var r rpcclient.Receipt
			_, err := a.via.CallRaw(m.ctx, moduleName+".Do", []byte("who is it"), rpcclient.Instance(instance), rpcclient.WantReceipt(&r))
			return err == nil && r.Receiver.UUID == holder.process()
		})
	}
}

// Two processes take one name at the same moment, at two nodes: all nodes choose the same one, and the other one is told.
func TestOneNameAtTwoNodesAtOnce(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		chance := seeded(t)
		callers := []*caller{m.residentAt("alice", "a"), m.residentAt("bob", "b"), m.residentAt("carol", "c")}
		rounds := 8
		if testing.Short() {
			rounds = 1
		}
		for round := range rounds {
			var rivals [8][2]*module
			for i := range rivals {
				name, first := fmt.Sprintf("pay-%d-%d", round, i), chance.IntN(2)
				for _, at := range []int{first, 1 - first} {
					rivals[i][at] = m.launch("pay", name, echo, []string{"b", "c"}[at])
				}
			}
			for _, two := range rivals {
				m.within(2*time.Second, "one of two processes is told that the other one has "+two[0].name,
					func() bool { return !two[0].running() || !two[1].running() })
				winner, loser := two[0], two[1]
				if loser.running() {
					winner, loser = loser, winner
				}
				loser.wantReplaced()
				m.wantHolder(winner, "pay", winner.name, callers...)
				if !winner.running() {
					t.Fatalf("both processes of %s were told that they lost it", winner.name)
				}
				winner.stop()
			}
		}
	})
}

// A process that logs in later has the name, wherever it does: nodes number logins in one order.
func TestTheNewestLoginWinsAtAnotherNode(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		callers := []*caller{m.residentAt("alice", "a"), m.residentAt("bob", "b"), m.residentAt("carol", "c")}
		for i := range 20 { // b has counted many logins, c has not
			m.clientAt(fmt.Sprintf("guest-%d", i), "b").stream(1, "alice.Do", 0).wantFlow(1)
		}
		gate := m.gate()
		old := m.serveAt("pay", "pay-1", gate.echo, "b")
		inFlight := callers[0].crowd(100, "pay.Do", 0)
		m.wantRunning(100, old)
		fresh := m.launch("pay", "pay-1", echo, "c")
		gate.opens()
		old.wantReplaced()
		m.wantHolder(fresh, "pay", "pay-1", callers...)
		for _, code := range []rpcclient.Class{rpcclient.NotExecuted, rpcclient.Executed} {
			if y := inFlight.wantEnds(5 * time.Second); y.class[code] > 0 {
				t.Errorf("calls that the older process had: %v", y)
			}
		}
		if !fresh.running() {
			t.Error("the newer process ended, too")
		}
	})
}

// One process at two nodes is one instance.
func TestOneProcessAtTwoNodesIsNotReplaced(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		alice := m.residentAt("alice", "a")
		for round := range 10 {
			name := fmt.Sprintf("pay-%d", round)
			s := m.serveAt("pay", name, echo, "b", "c")
			m.within(2*time.Second, name+" is at two nodes", func() bool {
				return m.hosts["b"].node.Sessions("pay") == round+1 && m.hosts["c"].node.Sessions("pay") == round+1
			})
			alice.crowd(10, "pay.Do", 0, rpcclient.Instance(name)).wantEnds(5 * time.Second).wantAll()
			if !s.running() {
				t.Fatalf("%s was kicked", name)
			}
		}
		m.wantAgreed()
	})
}

// Processes that take a name from each other without an end are held off, on all nodes.
func TestANameThatIsFoughtOverIsHeldDown(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("calm", "calm-1", echo, "b")
		alice := m.residentAt("alice", "a")
		others := alice.stream(4, "calm.Do", 0)
		last := m.serveAt("pay", "pay-1", echo, "b")
		for round := range 5 {
			at := []string{"c", "b"}[round%2]
			next := m.launch("pay", "pay-1", echo, at)
			last.wantReplaced()
			last = next
		}
		m.launch("pay", "pay-1", echo, "c") // the sixth
		m.wantGone("pay", "pay-1")
		if y := alice.crowd(100, "pay.Do", 0).wantEnds(time.Second); y.class[rpcclient.NotExecuted] != 100 {
			t.Errorf("calls of a name that is held down: %v: want NOT_EXECUTED", y)
		}
		others.wantFlow(100)
		others.wantUnharmed()
	})
}

// Instances that come and go ten times a second harm nobody.
func TestFlappingRegistrations(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("calm", "calm-1", slowly, "b")
		alice := m.residentAt("alice", "a")
		others := alice.stream(120, "calm.Do", 0)
		others.wantWide(100)
		before := m.hosts["b"].node.Own()
		flaps := 15
		if testing.Short() {
			flaps = 5
		}
		for range flaps {
			var leaving sync.WaitGroup
			for i := range 5 {
				s := m.launch("moth", fmt.Sprintf("moth-%d", i), echo, "b")
				leaving.Go(func() {
					<-time.After(20 * time.Millisecond)
					s.stop()
					<-s.done
					s.done <- nil
				})
			}
			leaving.Wait()
		}
		m.wantAgreed()
		after := m.hosts["b"].node.Own()
		if after.Entries != before.Entries {
			t.Errorf("b has %d entries, had %d", after.Entries, before.Entries)
		}
		// Five logins, five drains and five ends a flap: gathered, they are fewer versions than changes.
		if versions := after.Version - before.Version; versions > uint64(10*flaps) {
			t.Errorf("%d flaps of 5 instances made %d versions", flaps, versions)
		}
		others.wantUnharmed()
	})
}

// A login is never lost between the snapshot of a link that comes up and what follows it.
func TestLoginsWhileALinkComesUp(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		chance := seeded(t)
		rounds := 12
		if testing.Short() {
			rounds = 3
		}
		for round := range rounds {
			m.net.reset("a", "b")
			var crew []*module
			for i := range 8 {
				m.lasts(time.Duration(chance.IntN(20)) * time.Millisecond)
				crew = append(crew, m.launch("pay", fmt.Sprintf("pay-%d-%d", round, i), echo, []string{"a", "b"}[i%2]))
			}
			for _, s := range crew {
				m.within(2*time.Second, s.name+" is known everywhere", func() bool {
					for _, h := range m.running() {
						if !h.node.HasInstance("pay", s.name) {
							return false
						}
					}
					return true
				})
			}
			for _, s := range crew {
				s.stop()
			}
			for _, s := range crew {
				s.wantStop()
			}
		}
		m.wantUp()
	})
}
