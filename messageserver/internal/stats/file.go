package stats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// file is stats.db. Bucket minutes has the rollup of each minute with calls, and hours that of each hour, by the Unix time at which
// they begin (8 bytes, big endian); bucket meta has the format, and which minutes were written last. Safe for concurrent use.
type file struct {
	// Static after construction.
	path    string
	maxDisk int64 // what it uses, which is kept below
	maxFile int   // where writing fails, for tests; 0: nowhere
	log     *slog.Logger

	// Guarded by mu; who reads or writes the file holds it for reading.
	mu     sync.RWMutex
	db     *bbolt.DB
	what   os.FileInfo // what was opened
	newest time.Time   // the newest minute that was in it then; zero: none
}

var (
	bucketMinutes, bucketHours, bucketMeta = []byte("minutes"), []byte("hours"), []byte("meta")

	keyFormat, keyLast = []byte("format"), []byte("last")

	format = []byte("twohop stats 1")
)

const lockWait = time.Second // for another process to let go of the file

// ErrUnavailable is in what Past, Export and Callers return if the file is at fault, and not the question: it cannot be read now, or a
// part of it is broken.
var ErrUnavailable = errors.New("what was counted before cannot be read")

var errClosed = errors.New("is not open")

// open opens the file, or makes it and its folder.
func (f *file) open() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.openLocked()
}

func (f *file) openLocked() error {
	if err := checkWhole(f.path); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return f.guard(func() error {
		db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, MaxSize: f.maxFile})
		if errors.Is(err, bbolterrors.ErrTimeout) {
			return errors.New("is in use by another process: does a node with the same folder run?")
		}
		if err != nil {
			return fmt.Errorf("cannot be opened: %w", err)
		}
		var newest time.Time
		err = db.Update(func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{bucketMinutes, bucketHours, bucketMeta} {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			if last, _ := tx.Bucket(bucketMinutes).Cursor().Last(); last != nil {
				newest = timeOf(last)
			}
			meta := tx.Bucket(bucketMeta)
			if has := meta.Get(keyFormat); has != nil && !bytes.Equal(has, format) {
				return fmt.Errorf("has the format %q, must have %q", has, format)
			}
			return meta.Put(keyFormat, format)
		})
		info, statErr := os.Stat(f.path)
		if err = errors.Join(err, statErr); err != nil {
			return errors.Join(err, db.Close())
		}
		f.db, f.what, f.newest = db, info, newest
		return nil
	})
}

func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeLocked()
}

func (f *file) closeLocked() {
	if f.db != nil {
		if err := f.db.Close(); err != nil {
			f.log.Warn("stats_file_not_closed", "cause", err)
		}
		f.db = nil
	}
}

// ready opens the file again if it is not the one that has the path: what is written to a file that was removed is lost.
func (f *file) ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if f.db != nil && err == nil && os.SameFile(info, f.what) {
		return nil
	}
	if f.db != nil {
		f.log.Warn("stats_file_gone", "path", f.path)
	}
	f.closeLocked()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return f.openLocked()
}

// view reads the file. Its errors are ErrUnavailable.
func (f *file) view(read func(*bbolt.Tx) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	err := fmt.Errorf("%s: %w", f.path, errClosed)
	if f.db != nil {
		err = f.guard(func() error { return f.db.View(read) })
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// had returns the newest minute that was in the file when it was opened last; zero: none.
func (f *file) had() time.Time {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.newest
}

// guard names the file in an error, and makes one of what bbolt says of a broken file: it panics, or the page that it reads is not
// there.
func (f *file) guard(do func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			err = fmt.Errorf("is broken: %v; move it away, and a new one is made", p)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.path, err)
		}
	}()
	return do()
}

// checkWhole reports that the file ends before the last page that it says it has. bbolt would find out by a fault, some time.
func checkWhole(path string) error {
	f, err := os.Open(path) //nolint:gosec // below the folder that the operator names
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a file")
	}
	// The layout of a page is bbolt's: 16 bytes, and then, on the first two pages, the meta of the last two transactions.
	const head, size, sum = 16, 64, 56
	var pages, page uint64
	var newest uint64
	look := func(at int64) {
		var m [head + size]byte
		if _, err := f.ReadAt(m[:], at); err != nil {
			return
		}
		number := func(at int) uint64 { return binary.NativeEndian.Uint64(m[head+at:]) }
		h := fnv.New64a()
		h.Write(m[head : head+sum])
		if txid := number(48); h.Sum64() == number(sum) && (pages == 0 || txid >= newest) {
			newest, pages, page = txid, number(40), uint64(binary.NativeEndian.Uint32(m[head+8:]))
		}
	}
	look(0)
	for at := int64(1 << 10); at <= 1<<16; at *= 2 { // wherever the second page begins
		look(at)
	}
	if pages > 0 && pages*page > uint64(info.Size()) {
		return fmt.Errorf("is cut: it has %d bytes and says that it has %d; move it away, and a new one is made", info.Size(), pages*page)
	}
	if pages == 0 && info.Size() > 0 {
		return errors.New("is broken: it does not begin as a bbolt file does; move it away, and a new one is made")
	}
	return nil
}
