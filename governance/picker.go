package governance

import "time"

// Choice is what a picker is asked with, anew for each attempt.
type Choice struct {
	// HashKey is what the hash balancer places the call by; the others ignore it. Calls with an empty key all go to one
	// instance: whoever takes hash from a caller refuses it without a key first.
	HashKey []byte

	// Tried are the instances that earlier attempts of this call went to. They are not picked again. It is short (≤ 5), is
	// only read, and is not kept.
	Tried []*Instance
}

// Picker chooses instances out of one fixed set. A changed set is a new Picker; the instances are the same, so what is
// outstanding goes on being counted, and Done may be called on any picker over the instance. Safe for concurrent use.
type Picker interface {
	// Pick chooses the instance for one attempt and counts the attempt as outstanding on it. It returns nil when the set is
	// empty or wholly in c.Tried: whether the call then ends or goes to a tried one again (an empty Tried) is the asker's
	// decision. It does not allocate.
	Pick(now time.Duration, c Choice) *Instance

	// Done hears, exactly once for each Pick that returned an instance, how the attempt ended. It does not allocate.
	Done(now time.Duration, i *Instance, o Outcome)
}
