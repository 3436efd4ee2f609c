package discovery

import (
	"bytes"
	"context"
	"time"
)

// DefaultEvery is how often Watch reads the file.
const DefaultEvery = time.Second

// Watch reads the file again and again, until ctx is done, and calls onChange with every list that differs from the one
// before; the first is the one that it finds, so that nothing is lost between a Load and a Watch. A content counts when it was
// read twice in a row: a change is told after one to two times every, 0 for DefaultEvery.
//
// A file that is missing or has a problem changes nothing: onError hears of it, once per text until the file is good again.
// Both functions are called by Watch itself, one at a time.
func Watch(ctx context.Context, path string, every time.Duration, onChange func(List), onError func(error)) {
	if every <= 0 {
		every = DefaultEvery
	}
	w := watcher{path: path, onChange: onChange, onError: onError}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watcher is what Watch remembers.
type watcher struct {
	// Static after construction.
	path     string
	onChange func(List)
	onError  func(error)

	// Owned by Watch.
	last    []byte // what was read last time
	lastErr string // or why it could not be read
	looked  bool
	settled bool // it was judged
	told    bool // a list was
	hash    uint64
	said    map[string]bool // errors, since the file was good
}

// look reads the file once.
func (w *watcher) look() {
	text, err := read(w.path)
	why := ""
	if err != nil {
		why = err.Error()
	}
	if same := w.looked && why == w.lastErr && bytes.Equal(text, w.last); !same {
		w.last, w.lastErr, w.looked, w.settled = text, why, true, false
		return
	}
	if w.settled {
		return
	}
	w.settled = true
	var list List
	if err == nil {
		list, err = Parse(text)
		err = inFile(w.path, err)
	}
	if err != nil {
		w.complain(err)
		return
	}
	clear(w.said)
	if hash := list.Hash(); !w.told || hash != w.hash {
		w.told, w.hash = true, hash
		w.onChange(list)
	}
}

// complain tells an error, unless it was told.
func (w *watcher) complain(err error) {
	const most = 100
	if w.said == nil || len(w.said) >= most {
		w.said = make(map[string]bool)
	}
	if text := err.Error(); !w.said[text] {
		w.said[text] = true
		w.onError(err)
	}
}
