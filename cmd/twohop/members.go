package main

import (
	"fmt"
	"io"
	"os"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/messageserver"
)

const maxMembersFile = 1 << 20 // bytes

// readMembers reads the list of members from a file, YAML or JSON; - is stdin. The nodes judge whether it can follow theirs.
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

// parseMembers reads a list as the nodes read their files.
func parseMembers(text []byte) ([]adminclient.Member, error) {
	list, err := messageserver.ParseMembers(text)
	if err != nil {
		return nil, err
	}
	members := make([]adminclient.Member, 0, len(list))
	for _, m := range list {
		members = append(members, adminclient.Member(m))
	}
	return members, nil
}
