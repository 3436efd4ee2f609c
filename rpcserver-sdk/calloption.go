package rpcserver

import (
	"time"

	"github.com/twohop/twohop/internal/caller"
)

// CallOption changes one call.
type CallOption = caller.CallOption

// Timeout bounds a call. A deadline of its context that is earlier counts instead.
func Timeout(d time.Duration) CallOption { return caller.Timeout(d) }

// Group leaves the choice to the instances of one group.
func Group(name string) CallOption { return caller.Group(name) }

// Instance names the one instance that may run the call.
func Instance(name string) CallOption { return caller.Instance(name) }

// Balancer names how an instance is chosen.
type Balancer = caller.Balancer

// The balancers. The default is what the mesh's rules say, else RoundRobin.
const (
	Random      = caller.Random
	RoundRobin  = caller.RoundRobin
	Hash        = caller.Hash // by HashKey
	LeastActive = caller.LeastActive
)

// Balance says how the instance is chosen.
func Balance(b Balancer) CallOption { return caller.Balance(b) }

// HashKey sends calls with the same key (≤ 256 bytes) to the same instance, by Hash unless Balance says otherwise.
func HashKey(key string) CallOption { return caller.HashKey(key) }

// RunLate has the handler run although the call's time is up when it gets there.
func RunLate() CallOption { return caller.RunLate() }

// MaxAttempts bounds how often an idempotent call is started in all. Default: what the mesh's rules say.
func MaxAttempts(n int) CallOption { return caller.MaxAttempts(n) }

// Metadata adds one entry: the key 1–127 bytes of printable ASCII, the value UTF-8; ≤ 32 entries, ≤ 8 KiB in all.
// Keys may repeat, the order is kept. A W3C traceparent travels as one.
func Metadata(key, value string) CallOption { return caller.Metadata(key, value) }

// UserData hands opaque bytes (≤ 1,024) to the handler.
func UserData(data []byte) CallOption { return caller.UserData(data) }

// HighCriticality has the call shed last under overload.
func HighCriticality() CallOption { return caller.HighCriticality() }

// LowCriticality has the call shed first under overload.
func LowCriticality() CallOption { return caller.LowCriticality() }

// WantReceipt has r filled in with who answered, also when the call failed. It is complete when the call has ended.
func WantReceipt(r *Receipt) CallOption { return caller.WantReceipt(r) }

// ContentType names the form of a body of bytes (≤ 127 printable ASCII bytes). Default: none for bytes.
func ContentType(name string) CallOption { return caller.ContentType(name) }

// Password proves that the caller knows one of the method's passwords, which the mesh's rules may demand: keyID says which,
// the secret has 1 to 1,024 bytes. It does not leave the process: each attempt carries a digest by it, of the call and the body,
// that is good once and for two minutes. The machines' clocks must agree that well.
func Password(keyID uint32, secret string) CallOption { return caller.Password(keyID, secret) }
