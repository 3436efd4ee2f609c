package session

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// meshOf is a list of nodes that may change.
type meshOf struct {
	mu    sync.Mutex
	names []string
}

func (m *meshOf) set(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = names
}

func (m *meshOf) nodes() (all []*pb.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.names {
		all = append(all, &pb.Node{Name: name, Address: name + ":1"})
	}
	return all
}

// wantNodes takes NODES and wants these names in it.
func (m *module) wantNodes(names ...string) {
	m.n.t.Helper()
	var got pb.Nodes
	if err := proto.Unmarshal(m.want(wire.KindNodes).Header, &got); err != nil {
		m.n.t.Fatal(err)
	}
	same := len(got.GetNodes()) == len(names)
	for i, node := range got.GetNodes() {
		same = same && node.GetName() == names[i] && node.GetAddress() == names[i]+":1"
	}
	if !same {
		m.n.t.Fatalf("got %v, want %v", got.GetNodes(), names)
	}
}

// curious is a login that takes NODES.
func curious(name string, edit ...func(l *pb.Login)) *pb.Login {
	l := loginOf(name, name+"-1", pb.Role_ROLE_CALLER)
	l.Lifetime, l.Features = pb.Lifetime_LIFETIME_LONG, wire.FeatureNodes|1<<63
	for _, e := range edit {
		e(l)
	}
	return l
}

func TestModulesAreToldWhichNodesThereAre(t *testing.T) {
	mesh := &meshOf{names: []string{"a"}}
	story(t, func(n *node) {
		time.Sleep(time.Minute)
		alice := n.login(curious("alice"), testkit.PipeOptions{})
		if f := alice.welcome.GetFeatures(); f != wire.FeatureNodes {
			t.Errorf("WELCOME has features %d, want those that both sides have", f)
		}
		old := n.login(curious("old", func(l *pb.Login) { l.Features = 0 }), testkit.PipeOptions{})
		if f := old.welcome.GetFeatures(); f != 0 {
			t.Errorf("WELCOME has features %d, the module named none", f)
		}
		script := n.login(curious("script", func(l *pb.Login) { l.Lifetime = pb.Lifetime_LIFETIME_SHORT }), testkit.PipeOptions{})

		from := time.Now()
		mesh.set("a", "b")
		n.sessions.NodesChanged()
		alice.wantNodes("a", "b")
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the first change was told after %s", waited)
		}
		// What follows within the second is told at once, together.
		for _, names := range [][]string{{"a"}, {"a", "c"}, {"a", "b", "c"}} {
			mesh.set(names...)
			n.sessions.NodesChanged()
			synctest.Wait()
		}
		alice.wantNodes("a", "b", "c")
		if waited := time.Since(from); waited < time.Second || waited > time.Second+50*time.Millisecond {
			t.Errorf("the next change was told %s after the first, want a second", waited)
		}
		time.Sleep(3 * time.Second)
		for _, m := range []*module{alice, old, script} {
			m.wantSilence()
		}
	}, func(o *Options) { o.Nodes = mesh.nodes })
}

// A module that logs in while the nodes change is told by WELCOME or by NODES.
func TestNodesThatChangeDuringALogin(t *testing.T) {
	mesh := &meshOf{names: []string{"a"}}
	var n *node
	story(t, func(played *node) {
		n = played
		alice := n.login(curious("alice"), testkit.PipeOptions{})
		if got := alice.welcome.GetNodes(); len(got) != 1 {
			t.Fatalf("WELCOME has %v", got)
		}
		alice.wantNodes("a", "b")
		alice.wantSilence()
	}, func(o *Options) {
		o.Nodes = func() []*pb.Node {
			now := mesh.nodes()
			if len(now) == 1 { // it changes right after WELCOME was written, and those who are there are told
				mesh.set("a", "b")
				n.sessions.news.mu.Lock()
				n.sessions.news.changes++
				n.sessions.news.mu.Unlock()
			}
			return now
		}
	})
}

func TestNobodyIsToldWhileTheNodeDrains(t *testing.T) {
	mesh := &meshOf{names: []string{"a"}}
	story(t, func(n *node) {
		alice := n.login(curious("alice"), testkit.PipeOptions{})
		n.sessions.NodesChanged()
		alice.wantNodes("a")
		n.sessions.NodesChanged()
		drained := make(chan struct{})
		go func() { n.sessions.Drain(time.Minute); close(drained) }()
		alice.wantCode(wire.KindGoaway, wire.Draining)
		n.sessions.NodesChanged()
		time.Sleep(3 * time.Second)
		alice.wantSilence()
		alice.leave()
		<-drained
	}, func(o *Options) { o.Nodes = mesh.nodes })
}
