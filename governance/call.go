package governance

import (
	"net/netip"
	"time"
)

// Call holds the facts of one call that policies look at. The ingress fills it once; a policy never changes it and does not
// keep the pointer beyond Settle.
type Call struct {
	// Who calls, as the node has authenticated it.
	Caller         string     // module
	CallerInstance string     // instance of that module
	CallerIP       netip.Addr // the zero Addr for a unix socket
	External       bool       // the caller's session is one from outside the house

	// Whom the caller names. Group is empty where it left the choice to the mesh.
	Module string
	Method string
	Group  string

	// How the call is to be treated.
	OneWay     bool // no answer is awaited: it cannot be held
	Idempotent bool // the caller says that running it twice does no harm
	Critical   Criticality
	Attempt    uint8         // as it arrived: above 0, somebody before this node has retried
	Budget     time.Duration // what is left of the deadline at arrival; 0: the caller gave none, or nothing is left
	Size       int           // bytes of header and body
}

// Criticality says what is shed first under overload: Low, then Normal, then High. The numbers are those of the frame's flags.
type Criticality uint8

// The criticalities. A caller that says nothing gets Normal.
const (
	Normal Criticality = iota
	High
	Low
)

// String returns the name that rules, logs and metrics use.
func (c Criticality) String() string {
	switch c {
	case Normal:
		return "normal"
	case High:
		return "high"
	case Low:
		return "low"
	}
	return "unknown"
}
