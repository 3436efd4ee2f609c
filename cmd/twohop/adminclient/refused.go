package adminclient

import (
	"encoding/json"
	"net/http"
	"time"
)

// Refused is a call that a rule has refused.
type Refused struct {
	Node         string          `json:"node,omitempty"` // that refused it
	At           time.Time       `json:"at,omitzero"`
	RPCID        string          `json:"rpc_id,omitempty"` // 0: it had none yet
	Caller       string          `json:"caller,omitempty"`
	Instance     string          `json:"caller_instance,omitempty"`
	IP           string          `json:"caller_ip,omitempty"` // empty: a unix socket
	External     bool            `json:"external,omitempty"`
	Module       string          `json:"module,omitempty"`
	Method       string          `json:"method,omitempty"`
	Group        string          `json:"group,omitempty"`
	Code         int             `json:"code"`
	CodeName     string          `json:"code_name,omitempty"`
	Rule         string          `json:"rule_id,omitempty"`
	RuleVersion  uint64          `json:"rule_version,omitempty"`
	RuleEpoch    uint64          `json:"rule_epoch,omitempty"`
	RetryAfterMS float64         `json:"retry_after_ms,omitempty"`
	Explanation  json.RawMessage `json:"explanation,omitempty"` // by the rules of today
	Text         string          `json:"text,omitempty"`        // the same for people
}

// Unheard returns the nodes that were not heard, if the node refuses because no other has what was asked for.
func (r *RefusalError) Unheard() (nodes []Heard) {
	var body struct {
		Nodes []Heard `json:"nodes"`
	}
	if r.Status != http.StatusNotFound || json.Unmarshal(r.Body, &body) != nil {
		return nil
	}
	for _, n := range body.Nodes {
		if n.Error != "" {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
