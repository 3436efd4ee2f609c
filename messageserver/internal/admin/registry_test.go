package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// merged is an answer of /v1/registry?scope=mesh.
type merged struct {
	Total   int
	Nodes   []struct{ Node, Error string }
	Modules []module
}

// line writes every instance with its paths.
func (m *merged) line() string {
	var parts []string
	for _, mod := range m.Modules {
		for _, i := range mod.Instances {
			var nodes []string
			for _, p := range i.Paths {
				nodes = append(nodes, p.Node)
			}
			parts = append(parts, fmt.Sprintf("%s/%s@%s", mod.Module, i.Instance, strings.Join(nodes, "+")))
		}
	}
	return strings.Join(parts, " ")
}

func TestAnInstanceWithTwoPathsIsOne(t *testing.T) {
	w := meet(t, "c", "a", "b") // the paths come by name, whoever is asked
	w.nodes["a"].register("pay", "1", "Charge")
	w.nodes["b"].register("pay", "1", "Charge")
	w.nodes["c"].register("pay", "2", "Charge")
	w.nodes["b"].register("log", "1", "Write")
	var got merged
	w.nodes["c"].wantJSON("/v1/registry?scope=mesh", http.StatusOK, &got)
	if line := got.line(); line != "log/1@b pay/1@a+b pay/2@c" || got.Total != 2 || len(got.Nodes) != 3 {
		t.Errorf("got %s, %+v", line, got)
	}
	if m := got.Modules[1].Methods; len(m) != 1 || m[0].Method != "Charge" {
		t.Errorf("methods %+v", m)
	}
	w.nodes["c"].wantJSON("/v1/registry?scope=mesh&offset=1&limit=1", http.StatusOK, &got)
	if got.Total != 2 || len(got.Modules) != 1 || got.Modules[0].Module != "pay" {
		t.Errorf("the second page: %+v", got)
	}
	w.nodes["c"].wantText("/v1/registry", http.StatusOK, `"session": "9223372036854775807"`)
	w.nodes["c"].wantText("/v1/registry?scope=mesh", http.StatusOK, `"session": "9223372036854775807"`)
	w.nodes["c"].wantText("/v1/registry?scope=x", http.StatusBadRequest, "must be node or mesh")
}

// TestPathsAreAddedUp: what the owners say of one process is one row.
func TestPathsAreAddedUp(t *testing.T) {
	report := func(node, uuid string, age float64, outstanding int, failing float64, draining bool) heard[[]moduleReport] {
		return heard[[]moduleReport]{node: node, said: []moduleReport{{Module: "pay", Instances: []instanceReport{{
			Instance: "1", UUID: uuid, Age: age, Outstanding: outstanding, Failing: failing, Draining: draining,
		}}}}}
	}
	all := merge([]heard[[]moduleReport]{
		report("b", "u", 3, 1, 0.5, true), report("a", "u", 5, 2, 0.25, false), report("c", "other", 1, 7, 0, true), {node: "d", err: errAlone},
	})
	if len(all) != 1 || len(all[0].Instances) != 2 {
		t.Fatalf("got %+v", all)
	}
	other, one := all[0].Instances[0], all[0].Instances[1]
	if one.Age != 5 || one.Outstanding != 3 || one.Failing != 0.5 || one.Draining || one.Paths[0].Node != "a" || !one.Paths[1].Draining {
		t.Errorf("got %+v", one)
	}
	if other.UUID != "other" || other.Outstanding != 7 || !other.Draining {
		t.Errorf("got %+v", other)
	}
}

// TestALongListComesInParts: what nodes say to each other is bounded.
func TestALongListComesInParts(t *testing.T) {
	w := meet(t, "a", "b")
	long := strings.Repeat("x", 120)
	const modules, each = 40, 2
	for m := range modules {
		var methods []string
		for i := range 1000 {
			methods = append(methods, fmt.Sprintf("%s%04d", long, i))
		}
		for i := range each {
			w.nodes["b"].register(fmt.Sprintf("module%02d", m), fmt.Sprintf("%s%04d", long, i), methods...)
		}
	}
	src := w.nodes["b"].sources()
	parts := 0
	for offset := 0; ; parts++ {
		body, err := src.NodeMethods()["Registry"](t.Context(), fmt.Appendf(nil, `{"offset":%d}`, offset))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 5<<20 {
			t.Errorf("a part has %d bytes", len(body))
		}
		next := src.ownRegistry(offset).Next
		if next == 0 {
			break
		}
		if next <= offset {
			t.Fatalf("after %d comes %d", offset, next)
		}
		offset = next
	}
	if parts < 2 {
		t.Errorf("%d parts followed the first: the test is too small", parts)
	}
	reports, err := w.nodes["a"].askAll("b")
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, m := range reports {
		for _, i := range m.Instances {
			count[m.Module+"/"+i.Instance]++
		}
	}
	for name, n := range count {
		if n != 1 {
			t.Errorf("%s stands there %d times", name, n)
		}
	}
	if len(count) != modules*each {
		t.Errorf("%d instances, want %d", len(count), modules*each)
	}
	if past := src.ownRegistry(modules * each); len(past.Modules) != 0 || past.Next != 0 || past.Total != modules*each {
		t.Errorf("behind the end: %+v", past)
	}
}

func (n *node) askAll(other string) ([]moduleReport, error) {
	src := n.sources()
	return src.askRegistry(n.t.Context(), other)
}

func TestQuestionsBetweenNodesAreReadStrictly(t *testing.T) {
	w := meet(t, "a", "b")
	src := w.nodes["a"].sources()
	for method, body := range map[string]string{"Registry": `{"ofset":1}`, "SetMembers": `{"members":[]}{}`} {
		if _, err := src.NodeMethods()[method](t.Context(), []byte(body)); err == nil || !strings.Contains(err.Error(), "the body: ") {
			t.Errorf("%s of %s: %v", method, body, err)
		}
	}
}

// TestAPathIsItsSession: what is outstanding is said by the node that has the session, whoever made the calls.
func TestAPathIsItsSession(t *testing.T) {
	w := meet(t, "a", "b")
	b := w.nodes["b"]
	b.register("pay", "1", "Charge")
	b.sessions = []Session{{Number: 1<<63 - 1, Remote: "10.0.0.9:1", Outstanding: 7}, {Number: 5, Outstanding: 9}}
	var got merged
	w.nodes["a"].wantJSON("/v1/registry?scope=mesh", http.StatusOK, &got)
	if i := got.Modules[0].Instances[0]; i.Outstanding != 7 || i.Paths[0].Outstanding != 7 || i.Paths[0].Remote != "10.0.0.9:1" ||
		i.Paths[0].Session != 1<<63-1 || i.Paths[0].Node != "b" {
		t.Errorf("got %+v", i)
	}
}

// TestWhoFailsHereFails: calls that entered here see more than the instance's own node.
func TestWhoFailsHereFails(t *testing.T) {
	modules := []*module{{Module: "pay", Instances: []*instance{{Instance: "1", UUID: "u", Failing: 0.25}, {Instance: "2", UUID: "v", Failing: 0.5}}}}
	blame(modules, []router.ModuleView{{Module: "pay", Instances: []router.InstanceView{
		{Instance: "1", UUID: "u", Failing: 0.75}, {Instance: "2", UUID: "another", Failing: 1},
	}}})
	if one, two := modules[0].Instances[0].Failing, modules[0].Instances[1].Failing; one != 0.75 || two != 0.5 {
		t.Errorf("got %v and %v", one, two)
	}
}
