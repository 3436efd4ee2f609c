package peer

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestWhoMaySendWhatWhen sends every kind in every state of either side, and compares what comes of it with the table in
// PROTOCOL.md, "Node to node".
func TestWhoMaySendWhatWhen(t *testing.T) {
	states, rows := readMatrix(t)
	seen := map[string]bool{}
	for kind, name := range kindsToSend() {
		row := rows[name]
		if row == nil {
			t.Errorf("PROTOCOL.md has no row %q", name)
			continue
		}
		seen[name] = true
		for i, state := range states {
			for _, side := range sidesIn(state) {
				t.Run(fmt.Sprintf("%s %d/%s/%s", name, kind, state, side), func(t *testing.T) {
					if got := resultOf(t, kind, state, side); got != row[i] {
						t.Errorf("%s, want %s", got, row[i])
					}
				})
			}
		}
	}
	if len(seen) != len(rows) {
		t.Errorf("%d of %d rows are tested", len(seen), len(rows))
	}
}

// readMatrix returns the states of the table and its rows by their names.
func readMatrix(t *testing.T) (states []string, rows map[string][]string) {
	file, err := os.Open("../../../proto/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows = make(map[string][]string)
	inside, over := false, false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "## "):
			inside = line == "## Node to node"
		case inside && !over && strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if states == nil {
				states = cells[1:]
			} else if !strings.HasPrefix(cells[0], "---") {
				rows[cells[0]] = cells[1:]
			}
		case inside && states != nil:
			over = true
		}
	}
	if len(states) != 7 || len(rows) != 16 {
		t.Fatalf("the table has %d states and %d rows, want 7 and 16", len(states), len(rows))
	}
	return states, rows
}

// kindsToSend returns kinds, with the row of the table that each belongs to.
func kindsToSend() map[wire.Kind]string {
	const others = "those of modules, unknown below 128"
	kinds := map[wire.Kind]string{128: "unknown from 128", 200: "unknown from 128", 255: "unknown from 128"}
	for kind, name := range wire.Kinds() {
		if !kind.Goes(wire.NodeToNode) {
			name = others
		}
		kinds[kind] = name
	}
	for _, unknown := range []wire.Kind{0, 6, 15, 20, 29, 31, 38, 127} {
		kinds[unknown] = others
	}
	return kinds
}

func sidesIn(state string) []string {
	switch state {
	case "open":
		return []string{"acceptor", "dialler"}
	case "dialled", "proved", "named":
		return []string{"dialler"}
	}
	return []string{"acceptor"}
}

// resultOf brings a link into a state, sends a frame that is good there if its kind is, and says what came of it.
func resultOf(t *testing.T, kind wire.Kind, state, side string) (result string) {
	key := ""
	if state == "proof" || state == "proved" || state == "dialled" && kind == wire.KindChallenge {
		key = meshSecret
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b", func(o *Options) { o.Secret = key })
		defer m.end()
		var n *node
		var s *stranger
		if side == "acceptor" {
			n = m.start("b")
			s = n.visit("a")
		} else {
			s = m.stand("b")
			n = m.start("a")
			s.pickUp()
		}
		good := s.bring(m, state, side, key, kind)
		if good == nil {
			good = goodFrames(m, s)[kind]
		}
		if good == nil {
			good = []wire.Frame{{Kind: kind}}
		}
		s.send(good...)
		result = s.resultOf(n, kind)
		s.leave()
	})
	return result
}

// bring brings a link into a state. What is good there only, it returns.
func (s *stranger) bring(m *mesh, state, side, key string, kind wire.Kind) (good []wire.Frame) {
	if side == "acceptor" && state != "preface" {
		s.write([]byte(wire.Preface))
	}
	switch {
	case state == "preface" || state == "hello":
	case state == "proof":
		s.client, _ = scram.NewClient("test", key, nil)
		h := m.helloOf("a")
		h.ScramClientFirst, _ = s.client.First()
		s.send(frameOf(wire.KindHello, h))
		if proof := s.proof(); kind == wire.KindProof {
			good = []wire.Frame{proof}
		}
	case state == "open" && side == "acceptor":
		s.send(frameOf(wire.KindHello, m.helloOf("a")))
		s.wantIn()
	default: // of the dialler
		s.takeHello()
		welcome := &pb.Welcome{Version: 1}
		switch {
		case state == "dialled" && kind == wire.KindChallenge:
			d, _ := newDirectory(key)
			server, _ := scram.NewServer(d, "", nil)
			first, _ := server.First(s.hello.GetScramClientFirst())
			good = []wire.Frame{frameOf(wire.KindChallenge, &pb.Challenge{ScramServerFirst: first})}
		case state == "proved":
			welcome.ScramServerFinal = s.takeProof(s.challenge(key))
			if kind == wire.KindWelcome {
				good = []wire.Frame{frameOf(wire.KindWelcome, welcome)}
			}
		case state == "named":
			s.send(frameOf(wire.KindWelcome, welcome))
		case state == "open":
			s.send(frameOf(wire.KindWelcome, welcome), frameOf(wire.KindHello, m.helloOf("b")))
		}
	}
	synctest.Wait()
	return good
}

// goodFrames are frames that nothing is wrong with in a state that takes them.
func goodFrames(m *mesh, s *stranger) map[wire.Kind][]wire.Frame {
	name := "a"
	if s.name == "b" {
		name = "b"
	}
	large := ask(3, "b", "Nothing")
	large.Flags |= wire.FlagMore
	return map[wire.Kind][]wire.Frame{
		wire.KindHello:     {frameOf(wire.KindHello, m.helloOf(name))},
		wire.KindWelcome:   {frameOf(wire.KindWelcome, &pb.Welcome{Version: 1})},
		wire.KindRefuse:    {frameOf(wire.KindRefuse, &pb.Refuse{Code: uint32(wire.Denied), Message: "no"})},
		wire.KindSnapshot:  {frameOf(wire.KindSnapshot, &pb.Snapshot{Incarnation: 1 << 50, Version: 1, Last: true, Digest: make([]byte, 16)})},
		wire.KindDelta:     {frameOf(wire.KindDelta, &pb.Delta{Incarnation: 1 << 50, ToVersion: 1, Last: true, Digest: make([]byte, 16)})},
		wire.KindHeartbeat: {frameOf(wire.KindHeartbeat, &pb.Heartbeat{Incarnation: 1 << 50, Digest: make([]byte, 16), Sequence: 1})},
		wire.KindResync:    {frameOf(wire.KindResync, &pb.Resync{})},
		wire.KindGoodbye:   {frameOf(wire.KindGoodbye, &pb.Goodbye{DrainMs: 1000})},
		wire.KindRequest:   {ask(3, "b", "Nothing")},
		wire.KindResponse:  {{Kind: wire.KindResponse, CallID: 3, Hops: 1}},
		wire.KindCancel:    {{Kind: wire.KindCancel, CallID: 3, Status: wire.Cancelled}},
		wire.KindPart:      {large, {Kind: wire.KindPart, CallID: 3, Status: wire.Code(wire.KindRequest), Body: []byte("rest")}},
		255:                {{Kind: 255, Flags: 0xf0, Hops: 9, RPCID: 9, Status: 999, Header: []byte("what"), Body: []byte("ever")}},
	}
}

// ask is a call of _node.
func ask(id uint64, node, method string) wire.Frame {
	r := wire.Request{Module: []byte("_node"), Method: []byte(method), Instance: []byte(node)}
	header := wire.AppendInvoker(r.Append(nil), "_node", "a", "", "a", 0)
	header = wire.AppendCallStamp(header, id, 0, 0)
	return wire.Frame{Kind: wire.KindRequest, CallID: id, Hops: 1, BudgetMS: 1000, Header: header}
}

// resultOf says in the words of the table what the node made of a frame.
func (s *stranger) resultOf(n *node, kind wire.Kind) string {
	synctest.Wait()
	f, err := s.nextBut(10 * time.Millisecond)
	refused := len(n.log.lines("refused by the other node")) > 0
	switch {
	case refused && kind == wire.KindRefuse, f.Kind == wire.KindWelcome, f.Kind == wire.KindChallenge, f.Kind == wire.KindProof, f.Kind == wire.KindResponse:
		return "handled"
	case err == nil && f.Kind == wire.KindGoodbye:
		s.wantEnd()
		return "GOODBYE"
	case err == nil:
		r := &pb.Refuse{}
		if f.Kind == wire.KindRefuse {
			_ = readControl(&f, r)
		}
		s.wantEnd()
		return f.Kind.String() + " " + wire.Code(r.GetCode()).String()
	case !os.IsTimeout(err):
		return "closed"
	case kind >= wire.KindSkippable:
		return "skipped"
	}
	return "handled"
}

// TestEveryPrefixOfTheVectors comes over an open link: what is refused ends it.
func TestEveryPrefixOfTheVectors(t *testing.T) {
	inOpenOnly := []wire.Kind{wire.KindHello, wire.KindChallenge, wire.KindProof, wire.KindWelcome}
	for _, v := range vectors[struct {
		Name   string `json:"name"`
		Hex    string `json:"hex"`
		Effect string `json:"effect"`
	}](t, "peer_prefixes.json") {
		raw := unhex(t, v.Hex)
		if v.Effect != "closes" && slices.Contains(inOpenOnly, wire.Kind(raw[4])) {
			continue // not taken any more
		}
		t.Run(v.Name, func(t *testing.T) {
			alone(t, "b", func(m *mesh, b *node) {
				s := b.visit("a")
				s.knock(m.helloOf("a"), "")
				s.wantIn()
				breaches := b.peers.Counters().Breaches.Load()
				s.write(raw)
				synctest.Wait()
				broken := b.peers.Counters().Breaches.Load() > breaches
				if v.Effect == "skipped" && broken || v.Effect == "closes" && !broken {
					t.Errorf("a breach: %t, want it to be %s", broken, v.Effect)
				}
				s.leave()
			})
		})
	}
}
