package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// NodeMethods returns what this node answers when another one calls module _node: the methods by name, for JSON bodies. An
// answer stays below 5 MiB. The methods may be called concurrently.
//
//	Registry      {"offset": 0}                       → what sessions of this node serve; "next" is where the rest begins, 0
//	                                                    if there is none
//	Links                                             → this node's end of every link, and its troubles
//	Load                                              → how busy it is
//	Members                                           → the list that is in force here
//	CheckMembers  {"members": [...]}                  → the hash of that list, and what is wrong with this one
//	SetMembers    {"members": [...], "from": "ff0d…"} → puts another list in force, if from is the hash of the one that is;
//	                                                    the error names every problem
//	RulesStanding {"mark": {...}, "wait_ms": 1000}    → which document is in force, and how many servers enforce it, as soon as it
//	                                                    is this one or a newer one
//	Rules                                             → the document in force, with the secrets of its rules
//	RulesCounts   {"offset": 0}                       → what each rule has done here; "next" is where the rest begins
//	Refused       {"rpc_id": "4711", "limit": 10}     → calls that rules have refused here
//	Stats         {"by": "method", "offset": 0}       → rows of what is counted now; "next" is where the rest begins
//	StatsPast     {"from": "…", "to": "…"}            → rows of the past, likewise
//	StatsCallers  {"module": "pay", "over_ms": 60000} → who calls; "lack" is what the answer is without
//	StatsHandlers                                     → what was sent to handlers, and what they say
//	Alarms        {"all": true}                       → what an operator must hear
//	QuotaView                                         → the shares of limits of the mesh
func (src *Sources) NodeMethods() map[string]func(ctx context.Context, body []byte) ([]byte, error) {
	return map[string]func(ctx context.Context, body []byte) ([]byte, error){
		"Registry": func(_ context.Context, body []byte) ([]byte, error) {
			var question registryQuestion
			if err := read(body, &question); err != nil {
				return nil, err
			}
			return json.Marshal(src.ownRegistry(question.Offset))
		},
		"Links":   func(context.Context, []byte) ([]byte, error) { return json.Marshal(src.ownLinks()) },
		"Load":    func(context.Context, []byte) ([]byte, error) { return json.Marshal(src.ownLoad()) },
		"Members": func(context.Context, []byte) ([]byte, error) { return json.Marshal(src.ownMembers()) },
		"CheckMembers": func(_ context.Context, body []byte) ([]byte, error) {
			var list memberList
			if err := read(body, &list); err != nil {
				return nil, err
			}
			return json.Marshal(src.judge(list.Members))
		},
		"SetMembers": func(_ context.Context, body []byte) ([]byte, error) {
			var change memberChange
			if err := read(body, &change); err != nil {
				return nil, err
			}
			return src.setOwnMembers(&change)
		},
		"RulesStanding": src.nodeStanding,
		"Rules":         src.nodeRules,
		"RulesCounts":   src.nodeCounts,
		"Refused":       src.nodeRefused,
		"Stats":         src.nodeStats,
		"StatsPast":     src.nodeStats,
		"StatsCallers":  src.nodeCallers,
		"StatsHandlers": func(context.Context, []byte) ([]byte, error) { return json.Marshal(src.ownHandlers()) },
		"Alarms":        src.nodeAlarms,
		"QuotaView":     func(context.Context, []byte) ([]byte, error) { return json.Marshal(src.ownQuota()) },
	}
}

// nodeStanding answers _node.RulesStanding.
func (src *Sources) nodeStanding(ctx context.Context, body []byte) ([]byte, error) {
	var q standingQuestion
	if err := read(body, &q); err != nil {
		return nil, err
	}
	if src.Rules == nil {
		return nil, errors.New(noRules)
	}
	return json.Marshal(src.ownStanding(ctx, q))
}

// nodeRules answers _node.Rules, for nodes that have heard of a newer document than theirs.
func (src *Sources) nodeRules(context.Context, []byte) ([]byte, error) {
	if src.Rules == nil {
		return nil, errors.New(noRules)
	}
	return json.Marshal(src.Rules.Current())
}

// read reads one JSON object strictly. Nothing stands for an empty one.
func read(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body: %w", plain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body: something follows the object")
	}
	return nil
}

var errAlone = errors.New("this node is alone: peers.listen and peers.members_file make it a node of a mesh")
