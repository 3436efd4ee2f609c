package router

import "time"

// Registration is what a node says of one of its server sessions. It is immutable once it was given away: a change is a new
// one.
type Registration struct {
	Session    uint64 // the owner node's number of it
	Module     string
	Instance   string
	UUID       string // of the process
	Group      string // "" is none
	Weight     uint32 // 0 is governance.DefaultWeight
	Zone       string
	AppVersion string
	Stamp      Stamp
	Methods    *Methods
	Draining   bool          // its node stops: calls go this way only where there is no other
	Since      time.Duration // when it logged in, on this node's clock
	Needs      []string      // of local sessions only, for people
	Remote     string        // the address behind it, of local sessions only, for people
}

// Change is what has become of one session.
type Change struct {
	Session      uint64
	Registration *Registration // nil: the session is gone
}
