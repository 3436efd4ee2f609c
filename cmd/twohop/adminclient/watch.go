package adminclient

import (
	"context"
	"encoding/json"
	"time"
)

// Alarm is something that an operator must hear of.
type Alarm struct {
	Kind        string            `json:"kind"`
	Subject     string            `json:"subject"`
	Severity    string            `json:"severity"`
	Text        string            `json:"text"`
	Labels      map[string]string `json:"labels,omitempty"`
	Since       time.Time         `json:"since"`
	Ended       time.Time         `json:"ended,omitzero"` // zero while it lasts
	LastSeen    time.Time         `json:"last_seen,omitzero"`
	Count       int               `json:"count"`
	Mesh        string            `json:"mesh,omitempty"`
	Node        string            `json:"node,omitempty"`
	Reporters   []string          `json:"reporters,omitempty"` // nodes that report it
	Fingerprint string            `json:"fingerprint,omitempty"`
}

// Alarms are those of the mesh.
type Alarms struct {
	Node   string          `json:"node"`
	Alarms []Alarm         `json:"alarms"`
	View   json.RawMessage `json:"view,omitempty"` // of the node that was asked: its receivers
	Nodes  []Heard         `json:"nodes"`
}

// Alarms asks all nodes for what operators must hear; with ended also for what is over.
func (c *Client) Alarms(ctx context.Context, ended bool) (a Alarms, err error) {
	path := "/v1/alarms?scope=mesh"
	if ended {
		path += "&all=true"
	}
	err = c.get(ctx, path, &a)
	return a, err
}

// AuditRecord is a change by an operator, as the audit log of a node has it.
type AuditRecord struct {
	Seq     uint64          `json:"seq"`
	At      time.Time       `json:"at"`
	Author  string          `json:"author"`
	Action  string          `json:"action"`
	Target  string          `json:"target,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	From    string          `json:"from,omitempty"`
	To      string          `json:"to,omitempty"`
	Node    string          `json:"node,omitempty"`
	Remote  string          `json:"remote,omitempty"`
	Result  string          `json:"result,omitempty"` // empty: the change was about to be made
	Details json.RawMessage `json:"details,omitempty"`
}

// Audit is what was changed through one node, the newest first.
type Audit struct {
	Node    string          `json:"node"`
	Records []AuditRecord   `json:"records"`
	View    json.RawMessage `json:"view,omitempty"` // where they are kept
}

// Audit lists who changed what through the node. The filter has since, author, action, limit.
func (c *Client) Audit(ctx context.Context, filter map[string]string) (a Audit, err error) {
	err = c.get(ctx, "/v1/audit?"+query(filter), &a)
	return a, err
}
