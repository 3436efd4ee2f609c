package messageserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twohop/twohop/messageserver/internal/discovery"
)

// PeerOptions say which other nodes there are. A node that has neither MembersFile nor Members is alone: it opens no
// listener for others and dials nobody.
type PeerOptions struct {
	// Listen is where other nodes connect: host:port. Port 0 takes a free one. Default 127.0.0.1:7072.
	Listen string `yaml:"listen"`
	// MembersFile names the list of all members of the mesh, this node among them. It is watched while the node runs.
	MembersFile string `yaml:"members_file"`
	// Secret is the mesh's, the same on all nodes, of at least 16 bytes. Without one Listen must be loopback.
	Secret Secret `yaml:"secret"`

	// Members takes the place of MembersFile, for programs that embed nodes.
	Members []Member `yaml:"-"`
	// Listener takes the place of Listen, for programs that embed a node. The node closes it.
	Listener net.Listener `yaml:"-"`
	// Dial takes the place of a TCP connection to a member's address. It must obey ctx.
	Dial func(ctx context.Context, address string) (net.Conn, error) `yaml:"-"`
}

// Member is one node of a mesh.
type Member struct {
	// Node is its name, as its Options.Node.
	Node string
	// Number is its number, as its Options.Number.
	Number int
	// Address is where other nodes dial it, host:port.
	Address string
}

// validatePeers lists what is wrong with the options of the mesh.
func (o Options) validatePeers() (errs []error) {
	p := o.Peers
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if n := len(p.Secret); n > 0 && n < minPeerSecret {
		bad("peers.secret", "has %d bytes, must have at least %d", n, minPeerSecret)
	}
	where, local, err := p.where()
	switch {
	case err != nil:
		bad("peers.listen", "%v", err)
	case !local && p.Secret == "":
		bad("peers.secret", "is missing, and nodes are awaited at %s, where others than this machine come in: give all nodes of "+
			"the mesh one secret of at least %d bytes", where, minPeerSecret)
	}
	if p.MembersFile != "" {
		if o.DataDir == "" {
			bad("data_dir", "is missing: a node of a mesh keeps its incarnation there, which must rise with every start")
		}
		if len(p.Members) > 0 {
			bad("peers.members_file", "stands beside Options.Peers.Members: one of them is enough")
		}
	}
	if len(p.Members) > 0 {
		if err := o.checkMembers(); err != nil {
			bad("peers.members", "%v", err)
		}
		if err := o.checkSecret(memberList(p.Members)); err != nil {
			bad("peers.secret", "%v", err)
		}
	}
	return errs
}

const minPeerSecret = 16 // bytes

// where returns where other nodes come in, and whether that is on this machine only.
func (p PeerOptions) where() (where string, local bool, err error) {
	if p.Listener != nil {
		at, tcp := p.Listener.Addr().(*net.TCPAddr)
		return p.Listener.Addr().String(), !tcp || at.IP.IsLoopback(), nil
	}
	if strings.HasPrefix(p.Listen, "unix:") {
		return "", false, fmt.Errorf("%q is not host:port: nodes do not meet at sockets of one machine", p.Listen)
	}
	local, err = checkListen(p.Listen)
	return p.Listen, local, err
}

// checkMembers looks at the list of a program that embeds the node.
func (o Options) checkMembers() error {
	list := memberList(o.Peers.Members)
	if err := list.Validate(); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return list.CheckSelf(o.Node, o.Number)
}

// checkSecret wants a secret where a member is not on this machine: the node would believe whoever answers there.
func (o Options) checkSecret(list discovery.List) error {
	if o.Peers.Secret != "" || o.Peers.Dial != nil {
		return nil
	}
	for _, m := range list {
		if host, _, err := net.SplitHostPort(m.Address); err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("is missing, and member %s is at %s, which is not this machine: give all nodes of the mesh one secret "+
				"of at least %d bytes", m.Node, m.Address, minPeerSecret)
		}
	}
	return nil
}

// memberList returns the members as the mesh has them.
func memberList(members []Member) discovery.List {
	list := make(discovery.List, 0, len(members))
	for _, m := range members {
		list = append(list, discovery.Member(m))
	}
	return list
}
