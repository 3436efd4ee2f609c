package wire

import "fmt"

// Kind says what a frame is.
type Kind uint8

// The kinds. Below 128 an unknown kind closes the connection; from 128 up it is skipped.
const (
	KindLogin     Kind = 1
	KindChallenge Kind = 2
	KindProof     Kind = 3
	KindWelcome   Kind = 4
	KindRefuse    Kind = 5

	KindPing   Kind = 8
	KindPong   Kind = 9
	KindGoaway Kind = 10

	KindRequest  Kind = 16
	KindResponse Kind = 17
	KindCancel   Kind = 18
	KindPart     Kind = 19

	KindPolicy   Kind = 24
	KindPolicyOK Kind = 25
	KindLease    Kind = 26
	KindMethods  Kind = 27
	KindNodes    Kind = 28

	KindHello     Kind = 32
	KindSnapshot  Kind = 33
	KindDelta     Kind = 34
	KindHeartbeat Kind = 35
	KindResync    Kind = 36
	KindGoodbye   Kind = 37

	// KindSkippable is the first kind that a receiver that does not know it passes over.
	KindSkippable Kind = 128
)

// Way is a set of directions in which frames of a kind travel.
type Way uint8

// The directions.
const (
	ModuleToNode Way = 1 << iota
	NodeToModule
	NodeToNode
)

const bothWays = ModuleToNode | NodeToModule

// kinds describes the assigned kinds. PROTOCOL.md has the same table, and a test compares them.
var kinds = [KindGoodbye + 1]struct {
	name string
	ways Way
}{
	KindLogin:     {"LOGIN", ModuleToNode},
	KindChallenge: {"CHALLENGE", NodeToModule | NodeToNode},
	KindProof:     {"PROOF", ModuleToNode | NodeToNode},
	KindWelcome:   {"WELCOME", NodeToModule | NodeToNode},
	KindRefuse:    {"REFUSE", NodeToModule | NodeToNode},
	KindPing:      {"PING", bothWays},
	KindPong:      {"PONG", bothWays},
	KindGoaway:    {"GOAWAY", bothWays},
	KindRequest:   {"REQUEST", bothWays | NodeToNode},
	KindResponse:  {"RESPONSE", bothWays | NodeToNode},
	KindCancel:    {"CANCEL", bothWays | NodeToNode},
	KindPart:      {"PART", bothWays | NodeToNode},
	KindPolicy:    {"POLICY", NodeToModule},
	KindPolicyOK:  {"POLICY_OK", ModuleToNode},
	KindLease:     {"LEASE", NodeToModule},
	KindMethods:   {"METHODS", ModuleToNode},
	KindNodes:     {"NODES", NodeToModule},
	KindHello:     {"HELLO", NodeToNode},
	KindSnapshot:  {"SNAPSHOT", NodeToNode},
	KindDelta:     {"DELTA", NodeToNode},
	KindHeartbeat: {"HEARTBEAT", NodeToNode},
	KindResync:    {"RESYNC", NodeToNode},
	KindGoodbye:   {"GOODBYE", NodeToNode},
}

// Kinds returns every assigned kind with its name.
func Kinds() map[Kind]string {
	all := make(map[Kind]string, len(kinds))
	for k, d := range kinds {
		if d.name != "" {
			all[Kind(k)] = d.name
		}
	}
	return all
}

// String returns the name of an assigned kind, else KIND(n).
func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k].name != "" {
		return kinds[k].name
	}
	return fmt.Sprintf("KIND(%d)", uint8(k))
}

// Goes reports whether frames of the kind travel that way.
func (k Kind) Goes(way Way) bool { return int(k) < len(kinds) && kinds[k].ways&way != 0 }
