package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

const maxMembersFile = 1 << 20 // bytes

// fileMember is a member as it stands in a file. What is not written there is nil.
type fileMember struct {
	Node    *string `json:"node"    yaml:"node"`
	Number  *int    `json:"number"  yaml:"number"`
	Address *string `json:"address" yaml:"address"`
}

// readMembers reads the list of members from a file, YAML or JSON; - is stdin. What the values may be is judged by the nodes.
func readMembers(file string, stdin io.Reader) ([]adminclient.Member, error) {
	name, from := file, stdin
	if file == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(file) //nolint:gosec // the user names it
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxMembersFile+1))
	if err == nil && len(text) > maxMembersFile {
		err = fmt.Errorf("it has more than %d bytes", maxMembersFile)
	}
	var members []adminclient.Member
	if err == nil {
		members, err = parseMembers(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return members, nil
}

func parseMembers(text []byte) ([]adminclient.Member, error) {
	var list struct {
		Members []fileMember `json:"members" yaml:"members"`
	}
	var decode func(into any) error
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		decode = d.Decode
	} else {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		decode = d.Decode
	}
	if err := decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("it is not a list of members: %w", err)
	}
	if err := decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the list: it is one document")
	}
	if len(list.Members) == 0 {
		return nil, errors.New(`it has no members: it begins with "members:", and below it are nodes, as - {node: a, number: 1, address: "10.0.0.1:7072"}`)
	}
	members := make([]adminclient.Member, 0, len(list.Members))
	for i, m := range list.Members {
		if m.Node == nil || m.Number == nil || m.Address == nil {
			return nil, fmt.Errorf("members[%d] must have node, number and address", i)
		}
		members = append(members, adminclient.Member{Node: *m.Node, Number: *m.Number, Address: *m.Address})
	}
	return members, nil
}
