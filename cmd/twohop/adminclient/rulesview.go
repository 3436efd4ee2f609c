package adminclient

import (
	"encoding/json"
	"time"

	"github.com/twohop/twohop/governance/rules"
)

// Version is one version of the document of rules. The document that never was written has the zero Mark.
type Version struct {
	Mark   Mark      `json:"mark"`
	Hash   string    `json:"hash"`
	Author string    `json:"author,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Text   string    `json:"text,omitempty"` // with the secrets of its rules
}

// Rules is the document in force at one node.
type Rules struct {
	Node string `json:"node"`
	Version
	Since    time.Time      `json:"since,omitzero"`
	Source   string         `json:"source,omitempty"`
	Rules    []RuleState    `json:"rules"` // each with what it has done at the node, or, if all were asked, at all nodes that were heard
	Troubles []RulesTrouble `json:"troubles,omitempty"`

	// Of all nodes, if they were asked.
	Converged bool       `json:"converged"`
	Nodes     []Standing `json:"nodes,omitempty"`
	Summed    []Heard    `json:"summed,omitempty"` // whose calls are in Rules; nil: the node does not sum
}

// RuleState is a rule and what it has done.
type RuleState struct {
	rules.RuleState
	Nodes int `json:"nodes,omitempty"` // that have a rule of this id in force, if all were asked
}

// RulesTrouble is what is wrong with how rules come to a node.
type RulesTrouble struct {
	Kind  string    `json:"kind"`
	Cause string    `json:"cause"`
	Since time.Time `json:"since,omitzero"`
}

// Standing says which rules are in force at a node. If it was not heard, only Heard is filled in.
type Standing struct {
	Heard
	Mark      Mark      `json:"mark"`
	Hash      string    `json:"hash,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Source    string    `json:"source,omitempty"`
	Rules     int       `json:"rules"`
	Servers   int       `json:"servers"`   // server sessions there
	Enforcing int       `json:"enforcing"` // those that have said that they enforce the document

	// After a change, as the node saw it that was asked to make it; nil: not yet.
	InForceMS *float64 `json:"in_force_ms,omitempty"` // until it was in force there
	SDKMS     *float64 `json:"sdk_ms,omitempty"`      // until all its server sessions had said so
}

// Applied is a change of the rules.
type Applied struct {
	Node      string          `json:"node"`
	DryRun    bool            `json:"dry_run,omitempty"`
	Unchanged bool            `json:"unchanged,omitempty"` // the text was in force already
	From      *Mark           `json:"from,omitempty"`      // the version that it was made from; nil: the node does not say it
	Mark      Mark            `json:"mark"`
	Hash      string          `json:"hash"`
	Changes   []rules.Change  `json:"changes"`
	Warnings  []rules.Problem `json:"warnings"`
	Converged bool            `json:"converged"`
	Nodes     []Standing      `json:"nodes,omitempty"`
}

// Judged is what a node says of a document without making it the one in force.
type Judged struct {
	Node     string          `json:"node"`
	Valid    bool            `json:"valid"`
	Problems []rules.Problem `json:"problems"`
	Warnings []rules.Problem `json:"warnings"`
	Mark     Mark            `json:"mark"`    // of the document in force
	Changes  []rules.Change  `json:"changes"` // against it
}

// Difference is what leads from one version to another.
type Difference struct {
	Node    string         `json:"node"`
	From    Mark           `json:"from"`
	To      Mark           `json:"to"`
	Changes []rules.Change `json:"changes"`
}

// Conflict says what somebody else has changed meanwhile.
type Conflict struct {
	NoSuch  bool           `json:"no_such_version"` // the version that the change was made from never was
	Has     Version        `json:"has"`
	Changes []rules.Change `json:"changes"` // from the version that the change was made from; none where that one is not kept
}

// Invalid says what is wrong with a document.
type Invalid struct {
	Problems []rules.Problem `json:"problems"`
}

// Explanation says which rules decide about a call.
type Explanation struct {
	Node        string          `json:"node"`
	RPCID       string          `json:"rpc_id,omitempty"`
	Refusals    []Refused       `json:"refusals,omitempty"` // of a call that was made
	Nodes       []Heard         `json:"nodes,omitempty"`
	Call        json.RawMessage `json:"call,omitempty"` // that was not made
	Explanation json.RawMessage `json:"explanation,omitempty"`
	Text        string          `json:"text,omitempty"` // the same for people
}

// Switch is a change of one rule.
type Switch struct {
	Action     string     `json:"action"` // off, on, limit
	Module     string     `json:"module,omitempty"`
	Method     string     `json:"method,omitempty"`
	Group      string     `json:"group,omitempty"`
	Caller     string     `json:"caller,omitempty"`
	ForSeconds float64    `json:"for_seconds,omitempty"`
	Until      *time.Time `json:"until,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Author     string     `json:"author,omitempty"`
	DryRun     bool       `json:"dry_run,omitempty"`
	ID         string     `json:"id,omitempty"`
	Off        *SwitchOff `json:"off,omitempty"`
	Limit      *Limit     `json:"limit,omitempty"`
}

// SwitchOff is how calls are switched off.
type SwitchOff struct {
	Share        float64 `json:"share,omitempty"` // percent; 0 is 100
	Fallback     string  `json:"fallback,omitempty"`
	FallbackType string  `json:"fallback_type,omitempty"`
}

// Limit is a limit of calls over time.
type Limit struct {
	PerSecond float64 `json:"per_second"`
	Burst     float64 `json:"burst,omitempty"`
	Per       string  `json:"per,omitempty"`  // cluster, node, instance
	Each      string  `json:"each,omitempty"` // caller
	Over      string  `json:"over,omitempty"` // reject, alarm, pace
	MaxWaitMS float64 `json:"max_wait_ms,omitempty"`
}

// Switched is a change of one rule that was made, or, of a dry run, would be.
type Switched struct {
	Applied
	Action    string       `json:"action"`
	ID        string       `json:"id,omitempty"`
	Removed   []string     `json:"removed,omitempty"`
	Hits      []CallerRate `json:"hits"`                 // who called this in the last hour
	HitsError string       `json:"hits_error,omitempty"` // why that is not complete
}

// SwitchRule is a rule that is a switch.
type SwitchRule struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Module string    `json:"module,omitempty"`
	Method string    `json:"method,omitempty"`
	Group  string    `json:"group,omitempty"`
	Caller string    `json:"caller,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Note   string    `json:"note,omitempty"`
}
