//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// now is the machine's monotonic time in nanoseconds, the same for all processes, whatever network they are in.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

// kind says what a record is about.
type kind string

// The kinds.
const (
	kindInvoke kind = "invoke" // a caller is going to call
	kindEnd    kind = "end"    // and was told this
	kindStart  kind = "start"  // a handler begins
	kindDone   kind = "done"   // and is done
	kindOpen   kind = "open"   // a module has a session
)

// record is one line of a ledger.
type record struct {
	At     int64         `json:"at"`
	Kind   kind          `json:"kind"`
	Key    uint64        `json:"key,omitempty"`    // of the call
	Method string        `json:"method,omitempty"` // of invoke
	Budget time.Duration `json:"budget,omitempty"` // of invoke
	Node   string        `json:"node,omitempty"`   // of open: where; of end: who says so, if a node does

	// Of end.
	Class   string   `json:"class,omitempty"` // SUCCESS or what the error's class is
	Code    string   `json:"code,omitempty"`
	Text    string   `json:"text,omitempty"`
	Try     []string `json:"try,omitempty"`
	Unknown []string `json:"unknown,omitempty"` // the nodes over which attempts went that may have run
	Session uint64   `json:"session,omitempty"` // of open, too
	Hops    []string `json:"hops,omitempty"`    // the nodes that the call crossed
	Wrong   string   `json:"wrong,omitempty"`   // what is wrong with the answer
}

// ledger is a file that records are appended to, each by one write.
type ledger struct{ file *os.File }

func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return &ledger{file}, err
}

// write appends a record. Without its ledger a module's word is worth nothing: it ends.
func (l *ledger) write(r *record) {
	r.At = now()
	line, err := json.Marshal(r)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

// page is the ledger of one module, read while it grows.
type page struct {
	name, path string
	offset     int64
	rest       []byte // of a line that has no end yet
}

// read hands on what was added since.
func (p *page) read(t *testing.T, each func(r *record)) {
	t.Helper()
	file, err := os.Open(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, p.offset, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	p.offset += int64(len(text))
	text = append(p.rest, text...)
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		text = rest
		r := &record{}
		if err := json.Unmarshal(line, r); err != nil {
			t.Fatalf("the ledger of %s has the line %q: %v", p.name, line, err)
		}
		each(r)
	}
	p.rest = bytes.Clone(text)
}
