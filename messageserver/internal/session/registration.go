package session

import (
	"strings"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// instance is what a server session has said of itself. Owned by the reader.
type instance struct {
	stamp      *pb.Stamp
	methods    *router.Methods
	stopping   bool // it wants no new requests
	registered bool
}

// takePolicyOK registers a server that has waited for it.
func (c *session) takePolicyOK(f *wire.Frame) error {
	ok := &pb.PolicyOk{}
	if err := readControl(f, ok); err != nil {
		return err
	}
	c.mu.Lock()
	c.policyOK, c.enforces = true, governance.Mark{Epoch: ok.GetEpoch(), Version: ok.GetVersion()}
	c.mu.Unlock()
	c.register()
	return nil
}

// takeMethods replaces the methods of a server.
func (c *session) takeMethods(f *wire.Frame) error {
	m := &pb.Methods{}
	if err := readControl(f, m); err != nil {
		return err
	}
	if err := wire.CheckMethods(m.GetMethods()); err != nil {
		return err
	}
	c.instance.methods = contracts(m.GetMethods())
	if c.instance.registered {
		c.room.opts.Router.Update(c.number, c.instance.methods)
		return nil
	}
	c.register()
	return nil
}

// register adds the instance to the registry, once policy and methods stand.
func (c *session) register() {
	i := &c.instance
	c.mu.Lock()
	governed := c.policyOK
	c.mu.Unlock()
	if i.registered || i.stopping || !governed || len(i.methods.ByName) == 0 || c.currentState() != stateOpen {
		return
	}
	i.registered = true
	r := c.room.opts.Router
	r.Register(&router.Registration{
		Session: c.number, Module: c.login.GetModule(), Instance: c.login.GetInstance(), UUID: c.login.GetInstanceUuid(),
		Group: c.login.GetGroup(), Weight: c.login.GetWeight(), Zone: c.login.GetZone(), AppVersion: c.login.GetAppVersion(),
		Stamp: router.Stamp{N: i.stamp.GetN(), Node: i.stamp.GetNode()}, Methods: i.methods,
		Since: c.conn.Now(), Needs: c.login.GetNeeds(), Remote: c.from.String(),
	}, c)
	if c.currentState() != stateOpen {
		r.Unregister(c.number) // the node said GOAWAY between the two looks
	}
}

func contracts(methods []*pb.Method) *router.Methods {
	all := make(map[string]router.Contract, len(methods))
	for _, m := range methods {
		all[m.GetName()] = router.Contract{
			Idempotent: m.GetIdempotent(), Reachable: m.GetReachable(), RunLate: m.GetRunLate(), DefaultTimeoutMS: m.GetDefaultTimeoutMs(),
			Visibility: strings.ToLower(strings.TrimPrefix(m.GetVisibility().String(), "VISIBILITY_")),
		}
	}
	return router.NewMethods(all)
}
