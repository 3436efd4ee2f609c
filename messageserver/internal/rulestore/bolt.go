package rulestore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/twohop/twohop/governance"
)

// The buckets of the file. Their keys are marks, so that the last one is the newest.
var (
	metasBucket = []byte("rules.metas") // mark → Entry without Text, as JSON
	textsBucket = []byte("rules.texts") // mark → Text
)

// lockTimeout is how long OpenBolt waits for another process to let go of the file.
const lockTimeout = time.Second

// Bolt is a Store in a file of this process. Every Put is synced to disk.
type Bolt struct {
	// Static after construction.
	db   *bbolt.DB
	path string
	kept int

	news bell
}

// OpenBolt opens the file, or makes it; its folder must be there. One process at a time has it open: a second one gets an error
// after a second.
func OpenBolt(path string) (*Bolt, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(metasBucket)
			if err == nil {
				_, err = tx.CreateBucketIfNotExists(textsBucket)
			}
			return err
		})
		if err == nil && fresh {
			err = syncFolder(filepath.Dir(path))
		}
		if err != nil {
			_ = db.Close() // there is a better cause
		}
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("rulestore: another process has %s open: each node needs a data folder of its own", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("rulestore: %s is damaged or no file of this program: %w; put a backup there, or move it away "+
			"and the newest rules that any node holds are written into a new one", path, err)
	case err != nil:
		return nil, fmt.Errorf("rulestore: %w", err)
	}
	return &Bolt{db: db, path: path, kept: maxKept}, nil
}

// String names the store for logs.
func (s *Bolt) String() string { return s.path }

// Newest implements Store.
func (s *Bolt) Newest(ctx context.Context) (e Entry, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		e, err = newestOf(tx)
		return err
	})
	return e, err
}

// Put implements Store.
func (s *Bolt) Put(ctx context.Context, from governance.Mark, e Entry) error {
	if err := errors.Join(ctx.Err(), checkPut(from, e)); err != nil {
		return err
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		newest, err := newestOf(tx)
		if err != nil {
			return err
		}
		if newest.Mark != from {
			return &ConflictError{Has: newest}
		}
		return s.put(tx, e)
	})
	if err == nil {
		s.news.ring()
	}
	return s.explain(err)
}

func (s *Bolt) put(tx *bbolt.Tx, e Entry) error {
	metas, texts := tx.Bucket(metasBucket), tx.Bucket(textsBucket)
	text := e.Text
	e.Text = nil
	meta, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := errors.Join(metas.Put(key(e.Mark), meta), texts.Put(key(e.Mark), text)); err != nil {
		return err
	}
	var old [][]byte
	c := metas.Cursor()
	n := 0
	for k, _ := c.Last(); k != nil; k, _ = c.Prev() {
		if n++; n > s.kept {
			old = append(old, slices.Clone(k)) // deleting moves what a cursor shows
		}
	}
	for _, k := range old {
		if err := errors.Join(metas.Delete(k), texts.Delete(k)); err != nil {
			return err
		}
	}
	return nil
}

// Entry implements Store.
func (s *Bolt) Entry(ctx context.Context, m governance.Mark) (e Entry, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metasBucket).Get(key(m))
		if meta == nil {
			return ErrNoEntry
		}
		e, err = entryOf(tx, key(m), meta)
		return err
	})
	return e, err
}

// History implements Store.
func (s *Bolt) History(ctx context.Context, before governance.Mark, limit int) (found []Entry, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(metasBucket).Cursor()
		k, meta := c.Last()
		if before != (governance.Mark{}) {
			// Seek goes to the first that is not older; if there is none, the last one is older.
			if at, _ := c.Seek(key(before)); at != nil {
				k, meta = c.Prev()
			} else {
				k, meta = c.Last()
			}
		}
		for ; k != nil && (limit <= 0 || len(found) < limit); k, meta = c.Prev() {
			var e Entry
			if err := json.Unmarshal(meta, &e); err != nil {
				return err
			}
			found = append(found, e)
		}
		return nil
	})
	return found, err
}

// Watch implements Store.
func (s *Bolt) Watch(ctx context.Context, changed func()) {
	news, quit := s.news.listen()
	defer quit()
	watch(ctx, s, pollEvery, news, changed)
}

// Close implements Store.
func (s *Bolt) Close() error { return s.db.Close() }

func (s *Bolt) view(ctx context.Context, read func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.explain(s.db.View(read))
}

func (s *Bolt) explain(err error) error {
	_, conflict := errors.AsType[*ConflictError](err)
	switch {
	case err == nil, conflict, errors.Is(err, ErrNoEntry):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	}
	return fmt.Errorf("rulestore: %s: %w", s.path, err)
}

func newestOf(tx *bbolt.Tx) (Entry, error) {
	k, meta := tx.Bucket(metasBucket).Cursor().Last()
	if k == nil {
		return Entry{}, nil
	}
	return entryOf(tx, k, meta)
}

// entryOf copies: what a transaction shows is gone with it.
func entryOf(tx *bbolt.Tx, k, meta []byte) (e Entry, err error) {
	if err := json.Unmarshal(meta, &e); err != nil {
		return Entry{}, err
	}
	e.Text = append([]byte(nil), tx.Bucket(textsBucket).Get(k)...)
	return e, nil
}

// key orders as Mark.Less does.
func key(m governance.Mark) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.Epoch), m.Version)
}

// syncFolder makes the names of files in a folder outlive a crash of the machine.
func syncFolder(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
