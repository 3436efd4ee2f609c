package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// Document is a document of rules as it was written. It is not changed once it was given away.
type Document struct {
	Rules []Rule `json:"rules"` // in the order of the text
}

// Rule is one rule: a scope, and exactly one of the kinds.
type Rule struct { //nolint:recvcheck // String is of the value, which is what people print
	ID string `json:"id"`
	Scope
	Until  time.Time `json:"until,omitzero"` // the zero Time is never
	Shadow bool      `json:"shadow,omitempty"`
	Note   string    `json:"note,omitempty"`

	// Restrictions: all that match apply.
	Addresses   *Addresses   `json:"addresses,omitempty"`
	Callers     *Callers     `json:"callers,omitempty"`
	Visibility  *Visibility  `json:"visibility,omitempty"`
	Password    *Password    `json:"password,omitempty"`
	Off         *Off         `json:"off,omitempty"`
	Rate        *Rate        `json:"rate,omitempty"`
	Concurrency *Concurrency `json:"concurrency,omitempty"`
	Lift        *Lift        `json:"lift,omitempty"` // takes restrictions away

	// Settings: of each kind the one with the most specific scope applies.
	Timeout *Timeout `json:"timeout,omitempty"`
	Retry   *Retry   `json:"retry,omitempty"`
	Balance *Balance `json:"balance,omitempty"`
	Late    *Late    `json:"late,omitempty"`

	// Line is where the rule begins in the text it was parsed from, 1 the first; 0 for a rule that was not.
	Line int `json:"line,omitempty"`

	module, method, until position // where they stand
}

// position is a place in a text; the zero value is none.
type position struct{ line, column uint32 }

// Scope says which calls a rule is about: those that have all of its names. The zero value is every call.
type Scope struct {
	Module string `json:"module,omitempty"`
	Method string `json:"method,omitempty"` // needs Module
	Group  string `json:"group,omitempty"`  // needs Module: calls that name this group
	Caller string `json:"caller,omitempty"` // the calling module
}

// Kind names what a rule does, as its key in the document. The order is that of the checks, then that of the document.
type Kind string

// The kinds.
const (
	KindAddresses   Kind = "addresses"
	KindCallers     Kind = "callers"
	KindVisibility  Kind = "visibility"
	KindPassword    Kind = "password"
	KindOff         Kind = "off"
	KindRate        Kind = "rate"
	KindConcurrency Kind = "concurrency"
	KindLift        Kind = "lift"
	KindTimeout     Kind = "timeout"
	KindRetry       Kind = "retry"
	KindBalance     Kind = "balance"
	KindLate        Kind = "late"
)

// Addresses says from which addresses calls may come. Deny goes before Allow; with no Allow every other address may.
type Addresses struct {
	Allow []netip.Prefix `json:"allow,omitempty"`
	Deny  []netip.Prefix `json:"deny,omitempty"`
}

// Callers says which modules may call. Deny goes before Allow; with no Allow every other module may.
type Callers struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Visibility says for whom methods are.
type Visibility struct {
	For string `json:"for"` // internal, external, admin
}

// Password says which digests a call must bring one of. The server SDK checks it.
type Password struct {
	Keys []Key `json:"keys"` // 1 or 2
}

// Key is a password and its number.
type Key struct {
	ID     uint32 `json:"key_id"`
	Secret Secret `json:"secret"`
}

// Secret is shown nowhere: its String, its JSON and its %v are three stars. string(s) is the secret.
type Secret string

const hidden = "***"

// String returns three stars.
func (Secret) String() string { return hidden }

// GoString returns three stars.
func (Secret) GoString() string { return hidden }

// MarshalText returns three stars.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Off switches calls off.
type Off struct {
	Share        float64 `json:"share,omitempty"` // percent of the calls; 0 is 100
	Fallback     string  `json:"fallback,omitempty"`
	FallbackType string  `json:"fallback_type,omitempty"`
}

// Rate limits calls over time.
type Rate struct {
	PerSecond float64  `json:"per_second"`
	Burst     float64  `json:"burst,omitempty"`    // 0 is a tenth of PerSecond, at least 1
	Per       string   `json:"per,omitempty"`      // cluster (default), node, instance
	Each      string   `json:"each,omitempty"`     // caller: a bucket for each calling module
	Over      string   `json:"over,omitempty"`     // reject (default), alarm, pace
	MaxWait   Duration `json:"max_wait,omitempty"` // with pace
}

// Concurrency limits how many calls are in flight at one node.
type Concurrency struct {
	Max  int    `json:"max"`
	Per  string `json:"per,omitempty"`  // node, the only one
	Each string `json:"each,omitempty"` // caller: a count for each calling module
}

// Lift takes checks off until the rule ends.
type Lift struct {
	Checks []Kind `json:"checks"` // callers, addresses, visibility, password
}

// Timeout sets the budgets of calls. 0 sets nothing.
type Timeout struct {
	Default Duration `json:"default,omitempty"` // of calls that bring none
	Max     Duration `json:"max,omitempty"`     // longer ones are cut to it
}

// Retry sets how often a call may start, the first time counted.
type Retry struct {
	MaxAttempts int `json:"max_attempts"`
}

// Balance sets how an instance is chosen where the caller does not say it.
type Balance struct {
	By string `json:"by"` // random, round_robin, hash, least_active
}

// Late says what becomes of calls whose budget is spent before their handler starts.
type Late struct {
	Do string `json:"do"` // discard, run
}

// Duration is a time.Duration that is written as in "1.5s".
type Duration time.Duration

// String returns the form that documents use.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Hash names a text: its SHA-256 in hex.
func Hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
