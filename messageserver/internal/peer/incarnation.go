package peer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Incarnation is the number of this run of the node: greater than that of every run before, so that nobody takes what an
// earlier one said for news. It outlives the process in a file. Safe for concurrent use.
type Incarnation struct {
	// Static after construction.
	dir  string // "" keeps nothing
	lock *os.File

	value atomic.Uint64 // changed under keeping only, after the file was

	// Guarded by keeping, which is held while the file is written: those who read the number do not wait for the disk.
	keeping sync.Mutex
	closed  bool
}

const (
	// maxIncarnation fits a signed integer of 64 bits.
	maxIncarnation = math.MaxInt64
	// maxRaise is the most that another node can make of it: who says that it is a member's address, and has proved nothing yet,
	// must not be able to use the numbers up.
	maxRaise = 1 << 62

	incarnationFile = "incarnation"
	lockFile        = "lock"
)

// OpenIncarnation makes the incarnation of a run that starts at now: one more than the run before had in dir, or the Unix
// time in milliseconds, whichever is greater. It is on disk when OpenIncarnation returns. dir is made if it is missing, and is
// this process's until Close.
//
// With dir "" nothing is kept: the number is the time, and a clock that goes back makes a node that others refuse until it
// has been told the least number that they take. That is for tests and for a node alone.
//
// A number that cannot be read or kept is an error: a guess could be lower than what other nodes have seen.
func OpenIncarnation(dir string, now time.Time) (*Incarnation, error) {
	i := &Incarnation{dir: dir}
	i.value.Store(uint64(max(now.UnixMilli(), 1)))
	if dir == "" {
		return i, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if i.lock, err = lockDir(filepath.Join(dir, lockFile)); err != nil {
		return nil, err
	}
	before, err := readIncarnation(filepath.Join(dir, incarnationFile))
	if err == nil {
		i.value.Store(max(i.value.Load(), before+1))
		err = i.keep(i.value.Load())
	}
	if err != nil {
		_ = i.Close()
		return nil, err
	}
	return i, nil
}

// Value returns the number, 1 to 2⁶³ − 1.
func (i *Incarnation) Value() uint64 { return i.value.Load() }

// Raise makes the number greater than least, if it is not, and returns it. After an error, or after Close, it is what it
// was before.
func (i *Incarnation) Raise(least uint64) (uint64, error) {
	i.keeping.Lock()
	defer i.keeping.Unlock()
	now := i.value.Load()
	switch {
	case now > least:
		return now, nil
	case least >= maxRaise:
		return now, fmt.Errorf("incarnation: another node wants one above %d, and will not get more than %d: this node needs another name", least, uint64(maxRaise))
	case i.closed:
		return now, fmt.Errorf("incarnation: %w", os.ErrClosed)
	}
	if err := i.keep(least + 1); err != nil {
		return now, err
	}
	i.value.Store(least + 1)
	return least + 1, nil
}

// Close gives the folder to the next process. Closing twice is fine.
func (i *Incarnation) Close() error {
	i.keeping.Lock()
	defer i.keeping.Unlock()
	before := i.closed
	i.closed = true
	if before || i.lock == nil {
		return nil
	}
	return i.lock.Close() // the lock goes with the descriptor; the file stays, or two could lock two of that name
}

// readIncarnation returns what the last run had, or 0 if there was none.
func readIncarnation(path string) (uint64, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	defer f.Close()
	const longest = 32
	text, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 63)
	if err != nil || n == maxIncarnation {
		return 0, fmt.Errorf("incarnation: %s has %q, which is not a number from 0 to 2^63-2: if the time in milliseconds is "+
			"surely more than this node ever had, remove the file", path, text)
	}
	return n, nil
}

// keep writes the number so that a crash at any point leaves the old one or the new one. The caller holds keeping, or is alone.
func (i *Incarnation) keep(n uint64) error {
	if i.dir == "" {
		return nil
	}
	path := filepath.Join(i.dir, incarnationFile)
	if err := replaceFile(path, strconv.FormatUint(n, 10)+"\n"); err != nil {
		return fmt.Errorf("incarnation: cannot be kept, and without that this node must not join the mesh: %w", err)
	}
	return nil
}

// replaceFile writes a file beside path, and gives it the name when its content is on disk.
func replaceFile(path, text string) error {
	beside := path + ".tmp"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // in the folder that the operator names
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
