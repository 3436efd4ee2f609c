package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// gift is one event: a user sends a gift to a room.
type gift struct {
	ID     string `json:"gift_id"`
	User   string `json:"user"`
	Room   string `json:"room"`
	Name   string `json:"gift,omitempty"`
	Amount int64  `json:"amount"`
}

const (
	// limit is the most that one gift may cost: fishtrade refuses what is above.
	limit = 10_000
	// maxAmount is what an amount of the input may be at most.
	maxAmount = 1_000_000_000
	// maxText bounds ids, users, rooms and names, in bytes.
	maxText = 64
	// maxLine bounds a line of the input, in bytes.
	maxLine = 4096
)

// example is shown to whoever wrote a line that is no gift.
const example = `{"gift_id":"g-0001","user":"mia","room":"lagoon","gift":"rocket","amount":500}`

// parseGift reads one line of the input. The error says what is wrong and what would be right.
func parseGift(line []byte) (gift, error) {
	if !utf8.Valid(line) {
		return gift{}, errors.New("is not UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
		return gift{}, fmt.Errorf("is not one JSON object, such as %s", example)
	}
	var g gift
	var problems []error
	text := func(name string, to *string, required bool) {
		raw, there := fields[name]
		delete(fields, name)
		switch {
		case !there && required:
			problems = append(problems, fmt.Errorf("%s is missing", name))
		case there && (raw[0] != '"' || json.Unmarshal(raw, to) != nil || !isText(*to)):
			problems = append(problems, fmt.Errorf("%s must be a text of 1 to %d printable bytes", name, maxText))
		}
	}
	text("gift_id", &g.ID, true)
	text("user", &g.User, true)
	text("room", &g.Room, true)
	text("gift", &g.Name, false)
	raw, there := fields["amount"]
	delete(fields, "amount")
	switch {
	case !there:
		problems = append(problems, errors.New("amount is missing"))
	case bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &g.Amount) != nil || g.Amount < 1 || g.Amount > maxAmount:
		problems = append(problems, fmt.Errorf("amount is %s, must be a whole number from 1 to %d", cut(string(raw)), maxAmount))
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		problems = append(problems, fmt.Errorf("%q is no field of a gift (gift_id, user, room, amount, gift)", cut(name)))
	}
	if len(problems) > 0 {
		return gift{}, errors.New(strings.ReplaceAll(errors.Join(problems...).Error(), "\n", "; "))
	}
	return g, nil
}

// isText reports whether s may stand in a record and be a hash key.
func isText(s string) bool {
	return s != "" && len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func cut(s string) string {
	if len(s) <= 40 {
		return s
	}
	return strings.ToValidUTF8(s[:40], "") + "…"
}
