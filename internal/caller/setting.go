package caller

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// CallOption changes one call.
type CallOption interface{ ApplyToCall(s *Settings) }

// Settings are what a call's options set. Options of the SDKs write it, nobody else.
type Settings struct {
	timeout     time.Duration
	group       string
	instance    string
	balance     Balancer
	hashKey     string
	options     wire.Options
	flags       wire.Flags
	maxAttempts int
	metadata    []string // keys and values in turn
	userData    []byte
	contentType string
	receipt     *Receipt
	password    password
	set         bool // something that changes the header is set
}

type callOption func(s *Settings)

// ApplyToCall sets what the option is for.
func (o callOption) ApplyToCall(s *Settings) { o(s) }

// header is an option that changes the header.
func header(set func(s *Settings)) CallOption {
	return callOption(func(s *Settings) { s.set = true; set(s) })
}

// Balancer names how an instance is chosen.
type Balancer uint8

// The balancers. The default is what the mesh's rules say, else RoundRobin.
const (
	Random      = Balancer(wire.BalanceRandom)
	RoundRobin  = Balancer(wire.BalanceRoundRobin)
	Hash        = Balancer(wire.BalanceHash) // by HashKey
	LeastActive = Balancer(wire.BalanceLeastActive)
)

// Timeout bounds the call; a deadline of its context that is earlier counts instead.
func Timeout(d time.Duration) CallOption { return callOption(func(s *Settings) { s.timeout = d }) }

// Group leaves the choice to one group of the module's instances.
func Group(name string) CallOption { return header(func(s *Settings) { s.group = name }) }

// Instance names the one instance that may run the call.
func Instance(name string) CallOption { return header(func(s *Settings) { s.instance = name }) }

// Balance says how the instance is chosen.
func Balance(b Balancer) CallOption { return header(func(s *Settings) { s.balance = b }) }

// HashKey sends calls with one key to one instance, by Hash unless Balance says otherwise.
func HashKey(key string) CallOption { return header(func(s *Settings) { s.hashKey = key }) }

// Idempotent marks the call as one that may run twice.
type Idempotent struct{}

// ApplyToCall marks the call.
func (Idempotent) ApplyToCall(s *Settings) { s.set, s.options = true, s.options|wire.Idempotent }

// RunLate runs the call although its time is up when it gets to the handler.
func RunLate() CallOption { return header(func(s *Settings) { s.options |= wire.RunLate }) }

// MaxAttempts bounds how often an idempotent call is started.
func MaxAttempts(n int) CallOption { return header(func(s *Settings) { s.maxAttempts = n }) }

// Metadata adds one entry of metadata.
func Metadata(key, value string) CallOption {
	return header(func(s *Settings) { s.metadata = append(s.metadata, key, value) })
}

// UserData hands opaque bytes to the handler.
func UserData(data []byte) CallOption { return header(func(s *Settings) { s.userData = data }) }

// HighCriticality has the call shed last.
func HighCriticality() CallOption { return header(func(s *Settings) { s.flags |= wire.FlagHigh }) }

// LowCriticality has the call shed first.
func LowCriticality() CallOption { return header(func(s *Settings) { s.flags |= wire.FlagLow }) }

// WantReceipt fills in who answered.
func WantReceipt(r *Receipt) CallOption {
	return header(func(s *Settings) { s.receipt, s.flags = r, s.flags|wire.FlagWantReceiver })
}

// ContentType names the form of a body of bytes.
func ContentType(name string) CallOption { return header(func(s *Settings) { s.contentType = name }) }
