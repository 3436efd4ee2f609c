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
	}
}

// read reads one JSON object strictly. Nothing stands for an empty one.
func read(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body: something follows the object")
	}
	return nil
}

var errAlone = errors.New("this node is alone: peers.listen and peers.members_file make it a node of a mesh")
