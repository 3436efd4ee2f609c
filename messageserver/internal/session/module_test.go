package session

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// module is the other end of a session: it says what a test tells it to, byte by byte.
type module struct {
	n       *node
	conn    *testkit.PipeConn
	in      []byte // read and not decoded
	welcome *pb.Welcome
}

// loginOf is a login without a secret of a connection that is not pinged.
func loginOf(name, instance string, role pb.Role, methods ...string) *pb.Login {
	l := &pb.Login{
		VersionMin: 1, VersionMax: 1, Module: name, Instance: instance, InstanceUuid: "u-" + instance, Role: role,
		Lifetime: pb.Lifetime_LIFETIME_SHORT, Sdk: "test/1",
	}
	for _, m := range methods {
		l.Methods = append(l.Methods, &pb.Method{Name: m, Idempotent: strings.HasPrefix(m, "Get")})
	}
	return l
}

// login logs in without a secret.
func (n *node) login(l *pb.Login, o testkit.PipeOptions) *module {
	n.t.Helper()
	m := n.connect(o)
	m.write([]byte(wire.Preface))
	m.send(header(wire.KindLogin, l))
	m.wantWelcome()
	return m
}

func (n *node) caller(name string) *module {
	n.t.Helper()
	return n.login(loginOf(name, name+"-1", pb.Role_ROLE_CALLER), testkit.PipeOptions{})
}

// server is a module that is registered. Methods whose names begin with Get are idempotent.
func (n *node) server(name, instance string, methods ...string) *module {
	n.t.Helper()
	return n.serverOver(testkit.PipeOptions{}, name, instance, methods...)
}

func (n *node) serverOver(o testkit.PipeOptions, name, instance string, methods ...string) *module {
	n.t.Helper()
	m := n.login(loginOf(name, instance, pb.Role_ROLE_SERVER, methods...), o)
	m.ready()
	return m
}

// ready takes the policy, so that calls may come.
func (m *module) ready() {
	m.n.t.Helper()
	m.want(wire.KindPolicy)
	m.send(header(wire.KindPolicyOK, &pb.PolicyOk{}))
	synctest.Wait()
}

// header is a frame that has nothing but a header.
func header(k wire.Kind, h proto.Message) wire.Frame {
	b, err := proto.Marshal(h)
	if err != nil {
		panic(err)
	}
	return wire.Frame{Kind: k, Header: b}
}

// request calls "module.Method" with a body that says so.
func request(id uint64, full string, edit ...func(*wire.Request)) wire.Frame {
	name, method, err := wire.SplitMethod(full)
	if err != nil {
		panic(err)
	}
	r := wire.Request{Module: []byte(name), Method: []byte(method)}
	for _, e := range edit {
		e(&r)
	}
	return wire.Frame{Kind: wire.KindRequest, CallID: id, Header: r.Append(nil), Body: []byte(full)}
}

func cancel(id uint64) wire.Frame {
	return wire.Frame{Kind: wire.KindCancel, CallID: id, Status: wire.Cancelled}
}

func (m *module) write(b []byte) {
	m.n.t.Helper()
	// The node may have closed, and then it does not matter what else is said.
	if _, err := m.conn.Write(b); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		m.n.t.Fatal(err)
	}
}

func (m *module) send(frames ...wire.Frame) {
	m.n.t.Helper()
	var b []byte
	for _, f := range frames {
		b = f.Append(b)
	}
	m.write(b)
}

// leave closes and waits until the node has noticed.
func (m *module) leave() {
	m.conn.Close()
	synctest.Wait()
}

// next returns the next frame, or why there is none within a minute.
func (m *module) next() (wire.Frame, error) {
	_ = m.conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		f, size, err := wire.Decode(m.in, 1<<30)
		if err == nil {
			f.Header, f.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
			m.in = m.in[size:]
			return f, nil
		}
		if !errors.Is(err, wire.ErrShort) {
			return f, err
		}
		b := make([]byte, 64<<10)
		got, err := m.conn.Read(b)
		m.in = append(m.in, b[:got]...)
		if err != nil {
			return f, err
		}
	}
}

func (m *module) want(k wire.Kind) wire.Frame {
	m.n.t.Helper()
	f, err := m.next()
	if err != nil {
		m.n.t.Fatalf("%v, want %s", err, k)
	}
	if f.Kind != k {
		m.n.t.Fatalf("got %s, want %s", describe(f), k)
	}
	return f
}

// describe shows what a frame says.
func describe(f wire.Frame) string {
	text := f.Kind.String()
	if code, ok := codeOf(f); ok {
		text += " " + code.String()
	}
	return fmt.Sprintf("%s (call %d, header %q, body of %d)", text, f.CallID, f.Header, len(f.Body))
}

// codeOf returns the status code of a frame that has one.
func codeOf(f wire.Frame) (code wire.Code, ok bool) {
	switch f.Kind {
	case wire.KindResponse, wire.KindCancel:
		return f.Status, true
	case wire.KindRefuse:
		var r pb.Refuse
		err := proto.Unmarshal(f.Header, &r)
		return wire.Code(r.GetCode()), err == nil
	case wire.KindGoaway:
		var g pb.Goaway
		err := proto.Unmarshal(f.Header, &g)
		return wire.Code(g.GetCode()), err == nil
	}
	return 0, false
}
