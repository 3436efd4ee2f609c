package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryNodeShowsItsLinks(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("b", "c", "waiting", "connection refused")
	w.peers["b"].troubles = []Trouble{{Kind: "link_down", Peer: "c", Seconds: 72, Cause: "connection refused"}}
	var got struct {
		Node, Mesh string
		Nodes      []struct {
			Node, Error string
			Links       []Link
			Troubles    []Trouble
		}
	}
	w.nodes["a"].wantJSON("/v1/links", http.StatusOK, &got)
	var lines []string
	for _, n := range got.Nodes {
		line := n.Node + ":"
		for _, l := range n.Links {
			line += " " + l.Peer + "=" + l.State
			if l.NotUp > 0 {
				line += fmt.Sprint("(", l.NotUp, ")")
			}
		}
		lines = append(lines, fmt.Sprintf("%s %d", line, len(n.Troubles)))
	}
	if all := strings.Join(lines, ", "); got.Node != "a" || got.Mesh != "m" || all != "a: b=up c=up 0, b: a=up c=waiting(72) 1, c: a=up b=up 0" {
		t.Errorf("got %s of %+v", all, got)
	}
	w.nodes["a"].wantText("/v1/troubles", http.StatusOK, `"troubles": []`)
}

// TestALinkIsJSON: a script reads these names.
func TestALinkIsJSON(t *testing.T) {
	text, err := json.Marshal(Link{
		Peer: "b", Number: 1, Address: "x:1", State: "waiting", Seconds: 1.5, NotUp: 2.5, Cause: "c", RTTMicros: 300, UnansweredMS: 4, LastError: "e",
		Incarnation: 1<<64 - 1, Version: 5, Entries: 6, Digest: "d", InFlight: 7, FramesIn: 8, FramesOut: 9, BytesIn: 10, BytesOut: 11, QueuedBytes: 12,
	})
	want := `{"peer":"b","number":1,"address":"x:1","state":"waiting","state_seconds":1.5,"not_up_seconds":2.5,"cause":"c","rtt_us":300,` +
		`"oldest_unanswered_ms":4,"last_error":"e","incarnation":"18446744073709551615","version":"5","entries":6,"digest":"d","in_flight":7,` +
		`"frames_in":8,"frames_out":9,"bytes_in":10,"bytes_out":11,"queued_bytes":12}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
}

// TestANodeThatIsNotHeardIsNamed: the answer comes all the same, and says what is missing and why.
func TestANodeThatIsNotHeardIsNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world)
		why    string
	}{
		{"no link", func(w *world) { w.cut("a", "c", "waiting", "connection refused") }, "the link to it is waiting, not up for 12s: connection refused"},
		{"no link at all", func(w *world) { w.peers["a"].links = w.peers["a"].links[:1] }, "there is no link to it"},
		{"another version", func(w *world) { w.peers["c"].garbles = true }, "is it of another version?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := meet(t, "a", "b", "c")
			test.change(w)
			for _, path := range []string{"/v1/links", "/v1/load?scope=mesh", "/v1/registry?scope=mesh", "/v1/mesh?scope=mesh"} {
				var got struct {
					Nodes, Members []struct{ Node, Error string }
				}
				w.nodes["a"].wantJSON(path, http.StatusOK, &got)
				rows := slices.Concat(got.Nodes, got.Members)
				if len(rows) != 3 || rows[0].Error != "" || rows[1].Error != "" || rows[2].Node != "c" || !strings.Contains(rows[2].Error, test.why) {
					t.Errorf("%s: got %+v, want of c: %s", path, rows, test.why)
				}
			}
		})
	}
}

func TestASilentNodeIsWaitedForTwoSeconds(t *testing.T) {
	w := meet(t, "a", "b", "c") // its listener is outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		w.peers["b"].silent = true
		src := w.nodes["a"].sources()
		from := time.Now()
		all := gather(t.Context(), &src, src.ownLinks, asked[linksAnswer](&src, "Links"))
		if took := time.Since(from); took != patience {
			t.Errorf("it took %v, want %v", took, patience)
		}
		if all[1].err == nil || !strings.Contains(all[1].err.Error(), "did not answer within 2s") || all[2].err != nil || all[2].said.Node != "c" {
			t.Errorf("b: %v, c: %v", all[1].err, all[2].err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if all := gather(gone, &src, src.ownLinks, asked[linksAnswer](&src, "Links")); !errors.Is(all[1].err, context.Canceled) {
			t.Errorf("who asked has gone, and b is: %v", all[1].err)
		}
	})
}

func TestTheMeshAsANodeSeesIt(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("a", "c", "down", "the peer is dead")
	var got struct {
		Node, Mesh string
		Hash       string `json:"members_hash"`
		Troubles   int
		Members    []struct {
			Node, Address, State, Cause, Error string
			Number                             int
			Self, Removed                      bool
			Hash                               string `json:"members_hash"`
		}
	}
	w.nodes["a"].wantJSON("/v1/mesh", http.StatusOK, &got)
	if got.Node != "a" || got.Mesh != "m" || got.Hash == "" || len(got.Members) != 3 {
		t.Fatalf("got %+v", got)
	}
	if a, c := got.Members[0], got.Members[2]; !a.Self || a.State != "up" || a.Hash != "" || c.Node != "c" || c.Number != 2 ||
		c.Address != "10.0.0.2:7072" || c.State != "down" || c.Cause != "the peer is dead" || c.Self {
		t.Errorf("a %+v, c %+v", a, c)
	}
	// b has missed a change.
	w.peers["b"].members = w.peers["b"].members[:2]
	w.nodes["a"].wantJSON("/v1/mesh?scope=mesh", http.StatusOK, &got)
	if a, b, c := got.Members[0], got.Members[1], got.Members[2]; a.Hash != got.Hash || b.Hash == "" || b.Hash == got.Hash || c.Hash != "" || c.Error == "" {
		t.Errorf("got %+v", got.Members)
	}
	// c leaves, and its link is still there.
	w.peers["a"].members = w.peers["a"].members[:2]
	w.cut("a", "c", "leaving", "")
	w.nodes["a"].wantJSON("/v1/mesh", http.StatusOK, &got)
	if c := got.Members[2]; c.Node != "c" || c.State != "leaving" || !c.Removed || got.Members[1].Removed {
		t.Errorf("got %+v", got.Members)
	}
	w.nodes["a"].wantText("/v1/mesh?scope=all", http.StatusBadRequest, "must be node or mesh")
}

func TestANodeThatIsAlone(t *testing.T) {
	n := start(t)
	n.register("pay", "1", "Charge")
	n.wantText("/v1/mesh", http.StatusOK, `"alone": true`)
	n.wantText("/v1/members", http.StatusOK, `"members": []`)
	n.wantText("/v1/troubles", http.StatusOK, `"troubles": []`)
	n.wantText("/v1/links", http.StatusOK, `"links": []`)
	n.wantText("/v1/registry?scope=mesh", http.StatusOK, `"module": "pay"`)
	n.wantText("/v1/load?scope=mesh", http.StatusOK, `"instances": 1`)
	if a := n.put(listOf(Member{Node: "a"}), n.hash()); a.Status != http.StatusConflict || !strings.Contains(a.Error, "alone") {
		t.Errorf("got %+v", a)
	}
	var info map[string]any
	n.wantJSON("/v1/info", http.StatusOK, &info)
	if info["peers"] != nil {
		t.Errorf("it has peers: %v", info["peers"])
	}
	src := n.sources()
	if _, err := src.NodeMethods()["SetMembers"](t.Context(), []byte(`{"members":[]}`)); !errors.Is(err, errAlone) {
		t.Errorf("got %v", err)
	}
}

func TestInfoHasTheMesh(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("a", "b", "refused", "another mesh")
	w.peers["a"].troubles = []Trouble{{Kind: "link_down", Peer: "b"}}
	var got struct {
		Number int
		Peers  struct {
			Members, Links, Troubles int
			LinksUp                  int    `json:"links_up"`
			Hash                     string `json:"members_hash"`
		}
	}
	w.nodes["a"].wantJSON("/v1/info", http.StatusOK, &got)
	if p := got.Peers; got.Number != 7 || p.Members != 3 || p.Links != 2 || p.LinksUp != 1 || p.Troubles != 1 || p.Hash != w.nodes["a"].hash() {
		t.Errorf("got %+v", got)
	}
}

func TestALinkThatIsNotUpIsAWarning(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world)
		ok     bool
		says   string
	}{
		{"all up", func(*world) {}, true, "2 of 2 links are up"},
		{"one down", func(w *world) { w.cut("a", "c", "waiting", "connection refused") }, false,
			"1 of 2 links are up: c is waiting, not up for 12s: connection refused"},
		{"none up", func(w *world) {
			w.cut("a", "b", "syncing", "")
			w.cut("a", "c", "down", "dead")
			w.peers["a"].troubles = []Trouble{{Kind: "link_down", Peer: "c", Seconds: 42}}
		}, false,
			"no link is up, and only the modules of this node are served: b is syncing, not up for 12s; c is down, not up for 42s: dead"},
	} {
		w := meet(t, "a", "b", "c")
		test.change(w)
		var got struct {
			Ready  bool
			Checks []check
		}
		w.nodes["a"].wantJSON("/readyz", http.StatusOK, &got)
		c := got.Checks[len(got.Checks)-1]
		if !got.Ready || c.Name != "links" || c.OK != test.ok || !c.Warning || c.Message != test.says {
			t.Errorf("%s: ready %t, %+v, want %q", test.name, got.Ready, c, test.says)
		}
	}
}
