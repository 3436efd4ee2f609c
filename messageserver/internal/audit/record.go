package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Record is one change by an operator.
type Record struct {
	Seq uint64    `json:"seq"` // 1 and up; Append sets it
	At  time.Time `json:"at"`  // Append sets it, if it is zero

	Author string `json:"author"` // who; needed
	Action string `json:"action"` // what was done, as rules.apply; needed
	Target string `json:"target,omitempty"`
	Reason string `json:"reason,omitempty"`
	From   string `json:"from,omitempty"`   // what it was before
	To     string `json:"to,omitempty"`     // what it is to be
	Node   string `json:"node,omitempty"`   // that was asked
	Remote string `json:"remote,omitempty"` // from where
	Result string `json:"result,omitempty"` // of what is recorded afterwards; empty: the change is about to be made

	// Details are JSON; whitespace in them is not kept.
	Details json.RawMessage `json:"details,omitempty"`
}

// MaxRecord is how long a line may be, in bytes.
const MaxRecord = 1 << 20

// Filter chooses records. The zero value of a field chooses all.
type Filter struct {
	Since  time.Time
	Author string
	Action string
	Limit  int // records; default 100, at most 10,000
}

const (
	defaultLimit = 100
	maxLimit     = 10_000
)

func (f *Filter) limit() int {
	if f.Limit <= 0 {
		return defaultLimit
	}
	return min(f.Limit, maxLimit)
}

func (f *Filter) fits(r *Record) bool {
	return !r.At.Before(f.Since) && (f.Author == "" || r.Author == f.Author) && (f.Action == "" || r.Action == f.Action)
}

// line is a record as it is written.
type line struct {
	Prev string `json:"prev"` // SHA-256 of the line before, in hex, without its end; empty in the first one
	Record
}

// hash is what the next line carries of a line.
func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// format makes the text of a record, without the end of the line.
func format(r Record, prev string) ([]byte, error) {
	switch {
	case r.Author == "":
		return nil, errors.New("audit: a record has no author")
	case r.Action == "":
		return nil, errors.New("audit: a record has no action")
	case len(r.Details) > 0 && !json.Valid(r.Details):
		return nil, errors.New("audit: the details of a record are not JSON")
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line{prev, r}); err != nil {
		return nil, fmt.Errorf("audit: a record cannot be written: %w", err)
	}
	if text.Len() > MaxRecord {
		return nil, fmt.Errorf("audit: a record has %d bytes, at most %d are kept", text.Len(), MaxRecord)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// parse reads a line.
func parse(text []byte) (line, error) {
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return line{}, fmt.Errorf("is not a record: %w", err)
	}
	if decoder.More() {
		return line{}, errors.New("is not a record: something follows it")
	}
	if l.Seq == 0 {
		return line{}, errors.New("is not a record: it has no number")
	}
	return l, nil
}
