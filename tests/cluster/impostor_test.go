package cluster

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// intruder is a connection whose owner says what it likes.
type intruder struct {
	m  *mesh
	nc net.Conn

	mu     sync.Mutex
	heard  []wire.Frame
	closed bool
}

// intrude connects to a port of a node.
func (m *mesh) intrude(address string) *intruder {
	m.t.Helper()
	nc, err := m.net.dial(m.ctx, "outside", address)
	if err != nil {
		m.t.Fatal(err)
	}
	i := &intruder{m: m, nc: nc}
	var reading sync.WaitGroup
	reading.Go(i.read)
	m.ends = append(m.ends, func() {
		nc.Close()
		reading.Wait()
	})
	return i
}

// read keeps what comes, until the connection ends.
func (i *intruder) read() {
	var pending []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := i.nc.Read(buffer)
		pending = append(pending, buffer[:n]...)
		for {
			f, size, ferr := wire.Decode(pending, wire.MaxFrame+wire.NodeExtra)
			if ferr != nil {
				if !errors.Is(ferr, wire.ErrShort) {
					i.m.t.Errorf("a node wrote what is no frame: %v", ferr)
					err = ferr
				}
				break
			}
			f.Header, f.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
			i.mu.Lock()
			i.heard = append(i.heard, f)
			i.mu.Unlock()
			pending = pending[size:]
		}
		if err != nil {
			i.mu.Lock()
			i.closed = true
			i.mu.Unlock()
			i.nc.Close() // the node waits for it
			return
		}
	}
}

// says writes bytes. Who is closed meanwhile has been heard.
func (i *intruder) says(b []byte) { _, _ = i.nc.Write(b) }

// sends writes a control frame.
func (i *intruder) sends(kind wire.Kind, m proto.Message) {
	header, err := proto.Marshal(m)
	if err != nil {
		i.m.t.Fatal(err)
	}
	i.says((&wire.Frame{Kind: kind, Header: header}).Append(nil))
}

// wantFrame waits for a frame of a kind, and returns the newest.
func (i *intruder) wantFrame(kind wire.Kind) (found wire.Frame) {
	i.m.t.Helper()
	i.m.within(2*time.Second, fmt.Sprintf("%s comes", kind), func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, f := range slices.Backward(i.heard) {
			if f.Kind == kind {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

// wantClosed waits until the node has closed the connection.
func (i *intruder) wantClosed(why string) {
	i.m.t.Helper()
	i.m.within(2*time.Second, why+": the node closes", func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.closed
	})
}

// forget drops what was heard.
func (i *intruder) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.heard = nil
}

// impostor speaks as a member that does not run. It knows the protocol, and nothing that is not in it.
type impostor struct {
	*intruder
	mark pb.Heartbeat // what it says of its registry
}

// hello is what a member says first.
func (m *mesh) hello(name string, incarnation uint64) *pb.Hello {
	boot := make([]byte, wire.BootIDSize)
	_, _ = rand.Read(boot)
	return &pb.Hello{
		VersionMin: wire.MinVersion, VersionMax: wire.Version, Mesh: "default", Node: name, Number: uint32(m.hosts[name].number),
		BootId: boot, Incarnation: incarnation, ModuleAddress: m.hosts[name].modules,
	}
}

// pretend dials a node as a member with an empty registry, and waits until the node takes it for up.
func (m *mesh) pretend(name, at string, incarnation uint64) *impostor {
	m.t.Helper()
	i := &impostor{intruder: m.intrude(m.hosts[at].peers)}
	i.says([]byte(wire.Preface))
	i.sends(wire.KindHello, m.hello(name, incarnation))
	i.wantFrame(wire.KindWelcome)
	i.wantFrame(wire.KindHello)
	i.mark = pb.Heartbeat{Incarnation: incarnation, Digest: make([]byte, wire.DigestSize)}
	i.beats()
	m.wantLink(at, name, "up")
	return i
}

// beats sends a heartbeat.
func (i *impostor) beats() {
	i.mark.Sequence++
	i.sends(wire.KindHeartbeat, proto.CloneOf(&i.mark))
}

// contract is that of a method, and its hash.
func contract(method string) *pb.Contract {
	methods := []*pb.Method{{Name: method}}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Methods{Methods: methods})
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(encoded)
	return &pb.Contract{Hash: binary.BigEndian.Uint64(sum[:8]), Methods: methods}
}

// digest is that of a registry with these entries.
func digest(entries ...*pb.Entry) []byte {
	total := new(big.Int)
	for _, e := range entries {
		e = proto.CloneOf(e)
		e.AgeMs = 0
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(encoded)
		total.Add(total, new(big.Int).SetBytes(sum[:16]))
	}
	total.Mod(total, new(big.Int).Lsh(big.NewInt(1), 128))
	return total.FillBytes(make([]byte, wire.DigestSize))
}

// entry is a session that an impostor claims to have.
func entry(session uint64, instance string, stamp uint64, c *pb.Contract) *pb.Entry {
	return &pb.Entry{
		Session: session, Module: "pay", Instance: instance, InstanceUuid: "impostor", Weight: 100,
		Stamp: &pb.Stamp{N: stamp, Node: "a"}, ContractHash: c.GetHash(),
	}
}

// request is a call as it crosses a link, for the session of a node.
func request(id uint64, hops uint8, module, method string, session uint64) []byte {
	header := (&wire.Request{Module: []byte(module), Method: []byte(method)}).Append(nil)
	header = wire.AppendInvoker(header, "mallory", "mallory-1", "10.0.0.9", "a", 1)
	header = wire.AppendCallStamp(header, id, 1, session)
	f := wire.Frame{Kind: wire.KindRequest, CallID: id, Hops: hops, BudgetMS: 5000, RPCID: 7, Header: header, Body: []byte("call 0 of mallory|")}
	return f.Append(nil)
}

// wantAnswer waits for the RESPONSE to a request.
func (i *intruder) wantAnswer(id uint64, code wire.Code) {
	i.m.t.Helper()
	var got wire.Frame
	i.m.within(2*time.Second, fmt.Sprintf("request %d is answered", id), func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		at := slices.IndexFunc(i.heard, func(f wire.Frame) bool { return f.Kind == wire.KindResponse && f.CallID == id })
		if at >= 0 {
			got = i.heard[at]
		}
		return at >= 0
	})
	if got.Status != code {
		h := &pb.ResponseHeader{}
		_ = proto.Unmarshal(got.Header, h)
		i.m.t.Errorf("request %d was answered %v (%s), want %v", id, got.Status, h.GetMessage(), code)
	}
}
