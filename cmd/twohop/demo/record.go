package demo

import (
	"fmt"
	"strconv"
	"strings"
)

// key names one call of fishtrade.SendRocket: the number of the caller and its own count. The call of rank.Add that it
// leads to has the same key.
type key uint64

const sequenceBits = 40

func newKey(caller int, sequence uint64) key { return key(uint64(caller)<<sequenceBits | sequence) }

// String returns the key as it stands in ledgers: caller-count.
func (k key) String() string {
	return strconv.FormatUint(uint64(k>>sequenceBits), 10) + "-" + strconv.FormatUint(uint64(k)&(1<<sequenceBits-1), 10)
}

// MarshalText returns what String does.
func (k key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *key) UnmarshalText(text []byte) error {
	caller, sequence, found := strings.Cut(string(text), "-")
	c, err1 := strconv.ParseUint(caller, 10, 64-sequenceBits)
	s, err2 := strconv.ParseUint(sequence, 10, sequenceBits)
	if !found || err1 != nil || err2 != nil {
		return fmt.Errorf("%q is no key, must be caller-count", text)
	}
	*k = key(c<<sequenceBits | s)
	return nil
}

// kind says what a record is about.
type kind string

// The kinds. Callers write invoke and end, rank start and added, fishtrade all but added: it is called, and calls.
const (
	kindInvoke kind = "invoke" // is going to call
	kindEnd    kind = "end"    // was told this
	kindStart  kind = "start"  // the handler begins
	kindMoved  kind = "moved"  // fishtrade: the money is moved
	kindAdded  kind = "added"  // rank: the points are added
)

// class is what a caller was told about a call.
type class string

// The classes, as in the demo's JSON.
const (
	classOK          class = "ok"
	classNotExecuted class = "not_executed"
	classExecuted    class = "executed_error"
	classUnknown     class = "unknown"
)

var classes = []class{classOK, classNotExecuted, classExecuted, classUnknown}

// codeLimit is the application's code for a gift that costs more than one may.
const codeLimit = "LIMIT"

// record is one line of a ledger.
type record struct {
	At     int64  `json:"at_us"` // wall clock, for people
	Kind   kind   `json:"kind"`
	Key    key    `json:"key"`
	Gift   string `json:"gift_id,omitempty"`
	User   string `json:"user,omitempty"`
	Room   string `json:"room,omitempty"`
	Amount int64  `json:"amount,omitempty"`
	// Of ends.
	Class  class  `json:"class,omitempty"`
	Code   string `json:"code,omitempty"`
	App    string `json:"app_code,omitempty"`
	Micros int64  `json:"us,omitempty"`
	// Nodes are those that the answer crossed, from the nearest to the caller. None: no node said so.
	Nodes []string `json:"nodes,omitempty"`
	// Crossed is the key that the answer names, if that is not the call's own.
	Crossed string `json:"crossed,omitempty"`
}

// String returns the record for people.
func (r record) String() string {
	switch r.Kind {
	case kindEnd:
		text := "end " + string(r.Class) + " " + r.Code
		if r.App != "" {
			text += " " + r.App
		}
		if r.Crossed != "" {
			text += " with the answer of " + r.Crossed
		}
		if len(r.Nodes) > 0 {
			text += " over " + strings.Join(r.Nodes, ", ")
		}
		return fmt.Sprintf("%s after %d µs", text, r.Micros)
	default:
		return fmt.Sprintf("%s %d", r.Kind, r.Amount)
	}
}
