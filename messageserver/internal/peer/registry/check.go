package registry

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// Bounds of what is said. Whoever goes beyond them breaks the protocol.
const (
	maxPuts        = 256 // in a part
	maxDels        = 4096
	maxEntries     = 1 << 20
	maxMessage     = 60 << 10 // bytes; a frame's header has fewer than 64 KiB
	maxReaches     = 512      // nodes have the numbers 0 to 511
	maxRulesHash   = 64
	maxIncarnation = math.MaxInt64
)

func breach(format string, args ...any) *wire.Error {
	return &wire.Error{Code: wire.BadRequest, Reason: fmt.Sprintf(format, args...)}
}

// reason is what an error says, without the code in front.
func reason(err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Reason
	}
	return err.Error()
}

// check reports what a registration must not say, as a breach, or nil: it is asked of what comes and of what goes.
func check(r *router.Registration) error {
	if r.Session == 0 {
		return breach("an entry has session 0")
	}
	for _, err := range [...]error{
		wire.CheckName("module", r.Module), wire.CheckName("instance", r.Instance), wire.CheckName("instance_uuid", r.UUID),
		checkOptional("group", r.Group), checkOptional("zone", r.Zone), wire.CheckName("stamp.node", r.Stamp.Node),
	} {
		if err != nil {
			return breach("entry %016x: %s", r.Session, reason(err))
		}
	}
	switch {
	case wire.Reserved(r.Module):
		return breach("entry %016x: module is %q, names that begin with _ are reserved", r.Session, r.Module)
	case len(r.UUID) > wire.MaxUUID:
		return breach("entry %016x: instance_uuid has %d bytes, must have at most %d", r.Session, len(r.UUID), wire.MaxUUID)
	case r.Weight > wire.MaxWeight:
		return breach("entry %016x: weight is %d, must be at most %d", r.Session, r.Weight, wire.MaxWeight)
	case r.Stamp.N == 0 || r.Stamp.N > wire.MaxStamp:
		return breach("entry %016x: stamp.n is %d, must be 1 to %d", r.Session, r.Stamp.N, uint64(wire.MaxStamp))
	case len(r.AppVersion) > wire.MaxLabel || strings.ContainsFunc(r.AppVersion, unprintable):
		return breach("entry %016x: app_version is %.64q, must be printable ASCII of at most %d bytes", r.Session, r.AppVersion, wire.MaxLabel)
	}
	return nil
}

func unprintable(c rune) bool { return c < ' ' || c > '~' }

func checkOptional(what, name string) error {
	if name == "" {
		return nil
	}
	return wire.CheckName(what, name)
}

// sayable reports whether a receiver would take an entry of this node, and one message holds it and its contract.
func sayable(r *router.Registration) bool {
	if check(r) != nil {
		return false
	}
	contract := toContract(methodsOf(r))
	const rest = 256 // what a part says besides
	return wire.CheckMethods(contract.GetMethods()) == nil && proto.Size(contract)+proto.Size(toEntry(r, r.Since))+rest <= maxMessage
}

// checkMark takes a state that a registry can be in.
func checkMark(m Mark) error {
	if m.Incarnation == 0 || m.Incarnation > maxIncarnation {
		return breach("incarnation is %d, must be 1 to %d", m.Incarnation, uint64(maxIncarnation))
	}
	return nil
}
