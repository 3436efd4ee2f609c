package session

import (
	"errors"
	"os"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func (m *module) wantCode(k wire.Kind, code wire.Code) wire.Frame {
	m.n.t.Helper()
	f := m.want(k)
	if got, _ := codeOf(f); got != code {
		m.n.t.Fatalf("got %s, want %s", describe(f), code)
	}
	return f
}

func (m *module) wantWelcome() {
	m.n.t.Helper()
	m.welcome = &pb.Welcome{}
	if err := proto.Unmarshal(m.want(wire.KindWelcome).Header, m.welcome); err != nil {
		m.n.t.Fatal(err)
	}
}

// wantRefuse wants a REFUSE, and that it is the node's last word.
func (m *module) wantRefuse(code wire.Code) *pb.Refuse {
	m.n.t.Helper()
	f := m.wantCode(wire.KindRefuse, code)
	m.wantEnd()
	r := &pb.Refuse{}
	_ = proto.Unmarshal(f.Header, r)
	return r
}

// wantGoaway wants a GOAWAY that ends the session.
func (m *module) wantGoaway(code wire.Code) {
	m.n.t.Helper()
	m.wantCode(wire.KindGoaway, code)
	m.wantEnd()
}

// wantEnd wants the node to say nothing more, and to close once this side has.
func (m *module) wantEnd() {
	m.n.t.Helper()
	if f, err := m.next(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		m.n.t.Fatalf("got %s and %v, want the end", describe(f), err)
	}
	m.leave()
}

// wantClosed wants the node to have closed without a word.
func (m *module) wantClosed() {
	m.n.t.Helper()
	m.wantEnd()
	if len(m.in) != 0 {
		m.n.t.Fatalf("the node said %q before it closed", m.in)
	}
}

// wantSilence wants the node to have nothing to say now.
func (m *module) wantSilence() {
	m.n.t.Helper()
	synctest.Wait()
	_ = m.conn.SetReadDeadline(time.Now().Add(1))
	b := make([]byte, 1)
	if got, err := m.conn.Read(b); got != 0 || len(m.in) != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		m.n.t.Fatalf("%d and %d bytes and %v, want silence", len(m.in), got, err)
	}
}

// wantAnswer wants the RESPONSE to a call.
func (m *module) wantAnswer(id uint64, code wire.Code) wire.Frame {
	m.n.t.Helper()
	f := m.wantCode(wire.KindResponse, code)
	if f.CallID != id {
		m.n.t.Fatalf("got %s, want the answer to %d", describe(f), id)
	}
	return f
}

func (m *module) wantRequest() wire.Frame {
	m.n.t.Helper()
	return m.want(wire.KindRequest)
}

func (m *module) wantPong() {
	m.n.t.Helper()
	m.send(wire.Frame{Kind: wire.KindPing, CallID: 7})
	if f := m.want(wire.KindPong); f.CallID != 7 {
		m.n.t.Fatalf("got %s, want the echo of 7", describe(f))
	}
}

// answer ends a request that came.
func (m *module) answer(request wire.Frame, code wire.Code, body string) {
	m.n.t.Helper()
	m.send(wire.Frame{Kind: wire.KindResponse, CallID: request.CallID, Status: code, Body: []byte(body)})
}

// responseHeader decodes what an answer says.
func (m *module) responseHeader(f wire.Frame) *pb.ResponseHeader {
	m.n.t.Helper()
	h := &pb.ResponseHeader{}
	if err := proto.Unmarshal(f.Header, h); err != nil {
		m.n.t.Fatal(err)
	}
	return h
}
