package caller

import (
	"log/slog"
	"net"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// FuzzFrames takes a byte string as a program of frames that a node sends, between calls that the module makes. Whatever
// comes, calls end once, and the client's books are right.
func FuzzFrames(f *testing.F) {
	welcome, _ := proto.Marshal(&pb.Welcome{Version: 1, Node: "alpha", Session: 9})
	goaway, _ := proto.Marshal(&pb.Goaway{Code: uint32(wire.Draining), Try: []*pb.Node{{Name: "beta", Address: "beta:1"}}})
	header, _ := proto.Marshal(&pb.ResponseHeader{Message: "no", Node: "alpha", Try: []string{"beta"}})
	program := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(append(all, s[0], s[1], s[2], byte(len(s)-3)), s[3:]...)
		}
		return all
	}
	step := func(kind wire.Kind, which, status byte, header []byte) []byte {
		return append([]byte{byte(kind), which, status}, header...)
	}
	login := step(wire.KindWelcome, 0, 0, welcome)
	f.Add(true, program(login, step(0, 0, 0, nil), step(wire.KindResponse, 1, 0, nil), step(wire.KindResponse, 1, 0, nil)))
	f.Add(false, program(login, step(0, 3, 0, nil), step(wire.KindResponse, 1, byte(wire.StaleRoute), header), step(wire.KindGoaway, 0, 0, goaway)))
	f.Add(false, program(login, step(0, 1, 0, nil), step(wire.KindGoaway, 0, 0, goaway), step(wire.KindResponse, 1, byte(wire.NoRoute), header)))
	f.Add(true, program(step(wire.KindRefuse, 0, 0, nil), login))
	f.Add(false, program(step(wire.KindChallenge, 0, 0, nil)))
	f.Add(true, program(login, step(wire.KindPolicy, 0, 0, nil), step(wire.KindRequest, 1, 0, nil), step(wire.KindCancel, 1, 28, nil), step(wire.KindLease, 0, 0, nil)))
	off := policyOf(&pb.Restriction{RuleId: "r", Kind: &pb.Restriction_Off{Off: &pb.Off{FallbackBody: []byte("{}")}}})
	f.Add(true, program(login, step(wire.KindPolicy, 0, 0, off), step(wire.KindPolicy, 0, 0, off[:len(off)-1]), step(wire.KindPolicy, 0, 0, policyOf(&pb.Restriction{RuleId: "r"}))))
	nodes, _ := proto.Marshal(&pb.Nodes{Nodes: []*pb.Node{{Name: "beta", Address: "beta:1"}, {Name: "alpha", Address: "no address"}}})
	f.Add(true, program(login, step(wire.KindNodes, 0, 0, nodes), step(wire.KindGoaway, 0, 0, goaway), step(wire.KindNodes, 0, 0, nil)))
	f.Fuzz(func(t *testing.T, server bool, program []byte) {
		runFrames(t, server, program)
	})
}

func runFrames(t *testing.T, server bool, program []byte) {
	opts := Options{
		Addresses: []string{"alpha:1,beta:1"}, Logger: slog.New(slog.DiscardHandler),
		Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER},
	}
	if server {
		opts.Server, opts.Login.Role = idleServer{}, pb.Role_ROLE_BOTH
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	near, far := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 20})
	defer far.Close()
	s := newSession(c.paths[0], "alpha:1")
	s.conn = frameconn.New(net.Conn(near), frameconn.Options{Clock: c.clock})
	c.add(s)
	var open []*Pending
	used := false
	for len(program) >= 4 {
		kind, which, status, size := wire.Kind(program[0]), program[1], program[2], int(program[3])
		program = program[4:]
		header := program[:min(size, len(program))]
		program = program[len(header):]
		if kind == 0 { // the module's turn: a call
			if len(open) < 200 {
				var opts []CallOption
				if which&1 != 0 {
					opts = append(opts, Idempotent{})
				}
				open = append(open, c.Go(t.Context(), "shop.Buy", nil, nil, opts...))
			}
			continue
		}
		if kind == wire.KindPing || kind == wire.KindPong || kind == wire.KindPart {
			continue // frameconn's
		}
		frame := wire.Frame{Kind: kind, Status: wire.Code(status), Header: header, CallID: c.idOf(which)}
		if err := s.Frame(&frame); err != nil {
			break
		}
		s.BatchEnd()
		if s.open() && !used {
			used = true
			c.mu.Lock()
			s.usable = !s.leaving
			if s.usable {
				c.usable = append(c.usable, s)
			}
			c.mu.Unlock()
			c.flush()
		}
	}
	s.conn.Close(nil)
	s.run() // the reader finds the end, and settles what is open
	if err := c.ConsistencyCheck(); err != nil {
		t.Error(err)
	}
	c.Close()
	for _, p := range open {
		<-p.Done()
		_ = p.Wait()
	}
	if err := c.ConsistencyCheck(); err != nil {
		t.Error(err)
	}
}

// idOf returns the id in slot which-1, whether a call has it or not.
func (c *Client) idOf(which byte) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if which == 0 || int(which) > len(c.table.slots) {
		return uint64(which)
	}
	return uint64(c.table.slots[which-1].generation)<<32 | uint64(which-1)
}
