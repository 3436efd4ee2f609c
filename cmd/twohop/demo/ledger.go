package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ledger is a file that records are appended to, each by one write: a record is in the file when append returns, and
// stays there when the process is killed. It may be used concurrently.
type ledger struct{ file *os.File }

// openLedger opens or makes a ledger. If the process before was killed within a write, its torn line is ended.
func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the demo names it
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if size, err := file.Seek(0, io.SeekEnd); err == nil && size > 0 {
		last := []byte{0}
		if _, err := file.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			_, err = file.WriteString("\n")
			if err != nil {
				file.Close()
				return nil, fmt.Errorf("ledger: %w", err)
			}
		}
	}
	return &ledger{file}, nil
}

// append writes one record.
func (l *ledger) append(r record) error {
	r.At = time.Now().UnixMicro()
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func (l *ledger) close() { l.file.Close() }

// reader reads a ledger while it grows.
type reader struct {
	path   string
	offset int64
	rest   []byte // of a line that has no end yet
	torn   int    // lines that are no record: their writer was killed
}

// read hands on the records that have been added since. A file that is not there yet has none.
func (r *reader) read(each func(*record)) error {
	file, err := os.Open(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer file.Close()
	buffer := make([]byte, 256<<10)
	for {
		n, err := file.ReadAt(buffer, r.offset)
		r.offset += int64(n)
		r.rest = append(r.rest, buffer[:n]...)
		rest := r.rest
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			r.line(rest[:end], each)
			rest = rest[end+1:]
		}
		r.rest = append(r.rest[:0], rest...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
}

func (r *reader) line(line []byte, each func(*record)) {
	var one record
	if err := json.Unmarshal(line, &one); err != nil {
		r.torn++
		return
	}
	each(&one)
}

// finish is called when nobody writes any more: what has no end is torn.
func (r *reader) finish() {
	if len(r.rest) > 0 {
		r.torn++
		r.rest = nil
	}
}
