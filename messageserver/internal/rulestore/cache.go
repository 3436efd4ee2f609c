package rulestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const cacheRetry = 5 * time.Second // after a cache that could not be written

// loadCache puts in force what this node had when it ended.
func (r *Rules) loadCache() {
	text, err := os.ReadFile(r.o.Cache)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var e Entry
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err == nil && !isZero(e.Mark) {
		err = r.adopt(e, sourceCache)
	}
	if err != nil {
		r.troubles.begin(TroubleCache, fmt.Sprintf("%s: not read: %v", r.o.Cache, err))
	}
}

// followCache writes the cache when other rules are in force; the last time when ctx is done.
func (r *Rules) followCache(ctx context.Context) {
	var retry <-chan time.Time
	for {
		done := false
		select {
		case <-ctx.Done():
			done = true
			select {
			case <-r.dirty:
			default:
				if retry == nil {
					return
				}
			}
		case <-r.dirty:
		case <-retry:
		}
		retry = nil
		if err := r.saveCache(); err != nil {
			r.troubles.begin(TroubleCache, fmt.Sprintf("%s: not written: %v", r.o.Cache, err))
			retry = time.After(cacheRetry)
		} else {
			r.troubles.end(TroubleCache)
		}
		if done {
			return
		}
	}
}

func (r *Rules) saveCache() error {
	text, err := json.Marshal(r.Current())
	if err != nil {
		return err
	}
	return replaceFile(r.o.Cache, text)
}

// replaceFile gives a file another content; it has its old one or the new one, also after a crash.
func replaceFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nobody else knows it
		return err
	}
	return syncFolder(dir)
}
