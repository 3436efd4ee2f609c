package peer

import (
	"fmt"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// refusal ends a handshake: Farewell makes a REFUSE of it.
func refusal(code wire.Code, format string, args ...any) error {
	return &wire.Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// helloTo returns this node's HELLO for a member, whose registry the node may know. m is nil before that is clear.
func (p *Peers) helloTo(m *member) *pb.Hello {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &pb.Hello{
		VersionMin: wire.MinVersion, VersionMax: wire.Version, Mesh: p.opts.Mesh, Node: p.opts.Node, Number: uint32(p.opts.Number),
		BootId: p.boot, Incarnation: p.own.Mark().Incarnation, MembershipHash: p.hash, ModuleAddress: p.opts.ModuleAddress,
	}
	if known := m.view.Known(); known.Mark.Incarnation > 0 {
		h.KnownIncarnation, h.KnownVersion, h.KnownDigest = known.Mark.Incarnation, known.Mark.Version, known.Digest[:]
	}
	return h
}

// begin is the dialler's first frame.
func (l *link) begin() error {
	h := l.peers.helloTo(l.dialled)
	if secret := l.peers.opts.Secret; secret != "" {
		client, err := scram.NewClient(l.peers.opts.Mesh, secret, nil)
		if err != nil {
			return fmt.Errorf("peer: the mesh's secret: %w", err)
		}
		l.client = client
		if h.ScramClientFirst, err = client.First(); err != nil {
			return fmt.Errorf("peer: the mesh's secret: %w", err)
		}
	}
	l.send(controlFrame(wire.KindHello, h))
	return nil
}

// takeHello is the first frame of a dialler, and the last of the acceptor's handshake.
func (l *link) takeHello(f *wire.Frame) error {
	h := &pb.Hello{}
	if err := readControl(f, h); err != nil {
		return err
	}
	if err := wire.CheckHello(h); err != nil {
		return err
	}
	version, err := wire.NegotiateVersion(h.GetVersionMin(), h.GetVersionMax())
	if err != nil {
		return err
	}
	if l.side() == dialler {
		if version != l.version {
			return refusal(wire.BadRequest, "WELCOME says version %d, and version %d is the highest that both speak", l.version, version)
		}
		if err := l.peers.attach(l, h); err != nil {
			return err
		}
		l.open()
		l.peers.converse(l, h)
		return nil
	}
	l.version = version
	if l.peers.directory == nil {
		if len(h.GetScramClientFirst()) > 0 {
			return refusal(wire.Unauthenticated, "the other node has a secret, and this node has none")
		}
		return l.admit(h, nil)
	}
	if l.server, err = scram.NewServer(l.peers.directory, "", nil); err != nil {
		return refusal(wire.Unauthenticated, "the node cannot check secrets")
	}
	challenge, err := l.server.First(h.GetScramClientFirst())
	if err != nil {
		return refusal(wire.Unauthenticated, "this mesh has a secret: %v", err)
	}
	l.hello = h
	l.step.Store(uint32(stepProof))
	l.send(controlFrame(wire.KindChallenge, &pb.Challenge{ScramServerFirst: challenge}))
	return nil
}

// takeChallenge is for the dialler: it proves that it knows the secret.
func (l *link) takeChallenge(f *wire.Frame) error {
	c := &pb.Challenge{}
	if err := readControl(f, c); err != nil {
		return err
	}
	if l.client == nil {
		return refusal(wire.Unauthenticated, "the other node asks for the mesh's secret, and this node has none")
	}
	final, err := l.client.Final(c.GetScramServerFirst())
	if err != nil {
		return refusal(wire.Unauthenticated, "%v", err)
	}
	l.proved = true
	l.step.Store(uint32(stepProof))
	l.send(controlFrame(wire.KindProof, &pb.Proof{ScramClientFinal: final}))
	return nil
}

// takeProof is for the acceptor: it lets in who knows the secret.
func (l *link) takeProof(f *wire.Frame) error {
	proof := &pb.Proof{}
	if err := readControl(f, proof); err != nil {
		return err
	}
	final, err := l.server.Final(proof.GetScramClientFinal())
	if err != nil {
		return refusal(wire.Unauthenticated, "the secret is another one than that of this mesh")
	}
	return l.admit(l.hello, final)
}

// admit is the acceptor's word to who has proved itself.
func (l *link) admit(h *pb.Hello, serverFinal []byte) error {
	p := l.peers
	welcome := &pb.Welcome{
		Version: l.version, ScramServerFinal: serverFinal, Node: p.opts.Node, Mesh: p.opts.Mesh, Number: uint32(p.opts.Number),
	}
	if err := p.attach(l, h); err != nil {
		if l.least > 0 && serverFinal != nil {
			// It is to do what this node says, and does that only for who has proved itself.
			l.send(controlFrame(wire.KindWelcome, welcome))
		}
		return err
	}
	l.open()
	own := p.helloTo(l.member)
	welcome.Incarnation = own.GetIncarnation()
	l.send(controlFrame(wire.KindWelcome, welcome))
	l.send(controlFrame(wire.KindHello, own))
	p.converse(l, h)
	return nil
}

// takeWelcome is for the dialler: the other side has let it in, and has to prove itself, too.
func (l *link) takeWelcome(f *wire.Frame) error {
	w := &pb.Welcome{}
	if err := readControl(f, w); err != nil {
		return err
	}
	switch {
	case l.client != nil && !l.proved:
		return refusal(wire.Unauthenticated, "the other node asked for no secret, and this mesh has one")
	case l.client != nil:
		if err := l.client.Verify(w.GetScramServerFinal()); err != nil {
			return refusal(wire.Unauthenticated, "%v", err)
		}
	}
	l.version = w.GetVersion()
	l.step.Store(uint32(stepName))
	return nil
}

// takeRefuse ends a link with what the other side says of it. Who is told that its incarnation is too low raises it, if the
// other side has proved itself.
func (l *link) takeRefuse(f *wire.Frame) error {
	r := &pb.Refuse{}
	if err := readControl(f, r); err != nil {
		return err
	}
	l.refused = refusal(wire.Code(min(r.GetCode(), uint32(wire.MaxCode))), "refused by the other node: %s", said(r.GetMessage()))
	proved := l.side() == acceptor || l.client == nil || l.currentStep() >= stepName
	if least := r.GetMinIncarnation(); least > 0 && proved {
		if err := l.peers.raise(least); err != nil {
			l.refused = refusal(wire.BadRequest, "the other node wants an incarnation above %d: %v", least, err)
		} else {
			l.raised = true
		}
	}
	return errRefused
}
