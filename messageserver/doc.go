// Package messageserver is a node: the broker that modules log in to and that carries their calls. It is importable: a
// test or a program starts as many as it wants.
//
//	node, err := messageserver.New(messageserver.Options{})
//	if err != nil { ... }
//	err = node.Run(ctx)
//
// # State
//
// New validates the options and opens the listeners, so that Addr is known and connections wait from then on. Run serves
// until ctx is done, then drains: no new connection and no new request is taken, what is in flight goes on, sessions
// are asked to leave, and after Options.DrainTimeout the rest is closed. Run returns nil after that.
//
// The rooms: session accepts modules, router carries calls, peer reaches the other nodes, ids names calls; rulestore has the rules that
// calls are governed by, quota the limits that all nodes share, stats what was counted, alarm what operators must hear, audit who changed
// what, and admin shows all of it. This package assembles them (government.go those that govern) and carries what they
// have to tell each other: newer rules of another node (follow.go), conditions that are alarms (conditions.go).
//
// # Failure
//
// New fails with every problem of the options at once, or with the listener that could not be opened. Run fails only if
// a listener breaks. A panic in a session's reader is a bug and ends the process: what a node promises, it could not keep
// with half of its state.
package messageserver
