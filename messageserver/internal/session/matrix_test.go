package session

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestWhoMaySendWhatWhen sends every kind in every state and role, and compares what comes of it with the table in
// PROTOCOL.md.
func TestWhoMaySendWhatWhen(t *testing.T) {
	states, rows := readMatrix(t)
	for kind, name := range kindsToSend() {
		row := rows[name]
		if row == nil {
			t.Errorf("PROTOCOL.md has no row %q", name)
			continue
		}
		for i, state := range states {
			for _, role := range rolesIn(state) {
				t.Run(fmt.Sprintf("%s %d/%s/%s", name, kind, state, roleNames[role]), func(t *testing.T) {
					if got := resultOf(t, kind, state, role); got != row[i] {
						t.Errorf("%s, want %s", got, row[i])
					}
				})
			}
		}
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
	inside := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "## "):
			inside = line == "## Who may send what, when"
		case inside && strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if states == nil {
				states = cells[1:]
			} else if !strings.HasPrefix(cells[0], "---") {
				rows[cells[0]] = cells[1:]
			}
		}
	}
	if len(states) != 7 || len(rows) != 19 {
		t.Fatalf("the table has %d states and %d rows, want 7 and 19", len(states), len(rows))
	}
	return states, rows
}

// kindsToSend returns kinds, with the row of the table that each belongs to.
func kindsToSend() map[wire.Kind]string {
	kinds := map[wire.Kind]string{128: "unknown from 128", 200: "unknown from 128", 255: "unknown from 128"}
	for kind, name := range wire.Kinds() {
		if kind >= wire.KindHello {
			name = "32–37, unknown below 128"
		}
		kinds[kind] = name
	}
	for _, unknown := range []wire.Kind{0, 6, 7, 11, 15, 20, 23, 29, 31, 38, 127} {
		kinds[unknown] = "32–37, unknown below 128"
	}
	return kinds
}

func rolesIn(state string) []pb.Role {
	switch {
	case strings.HasSuffix(state, "server"):
		return []pb.Role{pb.Role_ROLE_SERVER, pb.Role_ROLE_BOTH}
	case strings.HasSuffix(state, "caller"):
		return []pb.Role{pb.Role_ROLE_CALLER}
	}
	return []pb.Role{pb.Role_ROLE_UNSET}
}

// resultOf brings a session into a state, sends a frame that is good there if its kind is, and says what came of it.
func resultOf(t *testing.T, kind wire.Kind, state string, role pb.Role) (result string) {
	secret := func(o *Options) {
		if state == "proof" {
			o.Keys = map[string]ModuleKeys{"web": {1: webSecret}}
		}
	}
	story(t, func(n *node) {
		m := n.connect(testkit.PipeOptions{})
		good := goodFrames()[kind]
		if state != "preface" {
			m.write([]byte(wire.Preface))
		}
		switch {
		case state == "proof":
			client := newLoginClient(t, "web", webSecret, 1)
			m.send(client.login())
			good = []wire.Frame{client.proof(m.want(wire.KindChallenge))}
			if kind != wire.KindProof {
				good = goodFrames()[kind]
			}
		case role != pb.Role_ROLE_UNSET:
			login := loginOf("web", "web-1", role)
			if role != pb.Role_ROLE_CALLER {
				login.Methods = []*pb.Method{{Name: "Move"}}
			}
			m.send(header(wire.KindLogin, login))
			m.wantWelcome()
			if role != pb.Role_ROLE_CALLER {
				m.ready()
			}
		}
		if strings.HasPrefix(state, "goaway") {
			drained := make(chan struct{})
			go func() { n.sessions.Drain(time.Hour); close(drained) }()
			defer func() { m.leave(); <-drained }()
			m.wantCode(wire.KindGoaway, wire.Draining)
		}
		if good == nil {
			good = []wire.Frame{{Kind: kind, CallID: 9}}
		}
		before := countsOf(n)
		m.send(good...)
		result = m.resultOf(before, kind)
	}, secret)
	return result
}

// goodFrames are frames that nothing is wrong with in a state that takes them.
func goodFrames() map[wire.Kind][]wire.Frame {
	large := request(3, "nobody.Move")
	part := wire.Frame{Kind: wire.KindPart, CallID: 3, Status: wire.Code(wire.KindRequest), Body: []byte("rest")}
	large.Flags |= wire.FlagMore
	return map[wire.Kind][]wire.Frame{
		wire.KindLogin:    {header(wire.KindLogin, loginOf("web", "web-1", pb.Role_ROLE_CALLER))},
		wire.KindGoaway:   {header(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Draining)})},
		wire.KindRequest:  {request(3, "nobody.Move")},
		wire.KindCancel:   {cancel(3)},
		wire.KindPart:     {large, part},
		wire.KindPolicyOK: {header(wire.KindPolicyOK, &pb.PolicyOk{})},
		wire.KindMethods:  {header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "Move"}}})},
		wire.KindHello:    {header(wire.KindHello, &pb.Hello{})},
		255:               {{Kind: 255, Flags: 0xf0, Hops: 9, RPCID: 9, Status: 999, Header: []byte("what"), Body: []byte("ever")}},
	}
}

// countsOf returns what is counted of frames that have no answer.
func countsOf(n *node) [2]uint64 {
	c := n.sessions.Counters()
	return [2]uint64{c.LateAnswers.Load(), c.UnknownCancels.Load()}
}

// resultOf says in the words of the table what the node made of a frame.
func (m *module) resultOf(before [2]uint64, kind wire.Kind) string {
	synctest.Wait()
	handled := countsOf(m.n) != before
	m.send(wire.Frame{Kind: wire.KindPing, CallID: 77})
	f, err := m.next()
	if err == nil && f.Kind == wire.KindPong && f.CallID != 77 {
		handled = true
		f, err = m.next()
	}
	switch {
	case err != nil:
		return "closed"
	case f.Kind == wire.KindPong && handled:
		return "handled"
	case f.Kind == wire.KindPong && kind < wire.KindSkippable && kind.Goes(wire.ModuleToNode):
		return "handled" // it has no effect that could be seen
	case f.Kind == wire.KindPong:
		return "skipped"
	case f.Kind == wire.KindResponse && f.Status == wire.Draining && kind == wire.KindRequest:
		return "answered DRAINING"
	case f.Kind == wire.KindResponse && f.Status == wire.Draining && kind == wire.KindPart:
		return "handled" // it made the request whole
	case f.Kind == wire.KindResponse && f.Status == wire.NoModule, f.Kind == wire.KindWelcome, f.Kind == wire.KindChallenge:
		return "handled"
	}
	code, _ := codeOf(f)
	m.wantEnd()
	return f.Kind.String() + " " + code.String()
}
