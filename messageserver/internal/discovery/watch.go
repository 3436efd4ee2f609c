package discovery

import (
	"bytes"
	"context"
	"time"
)

// DefaultEvery is how often Watch reads the file.
const DefaultEvery = time.Second

// Watch reads the file again and again, until ctx is done, and calls take with its list whenever that is not the one in force,
// whose Hash inForce returns: the file and what is in force cannot differ for good, whoever has changed which of them. A content
// counts when it was read twice in a row: a change is told after one to two times every, 0 for DefaultEvery.
//
// What take returns is that the list was not put in force; it is called again the next time. A list that it gets may be older
// than one that was written and put in force meanwhile: take looks again where that can happen.
//
// A file that is missing or has a problem, and a list that is not taken, change nothing: onError hears of it, once per text
// until the list of the file is in force. The functions are called by Watch itself, one at a time.
func Watch(ctx context.Context, path string, every time.Duration, inForce func() uint64, take func(List) error, onError func(error)) {
	if every <= 0 {
		every = DefaultEvery
	}
	w := watcher{path: path, inForce: inForce, take: take, onError: onError}
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
	path    string
	inForce func() uint64
	take    func(List) error
	onError func(error)

	// Owned by Watch.
	last    []byte // what was read last time
	lastErr string // or why it could not be read
	looked  bool
	settled bool            // it was judged,
	list    List            // and this is the list; nil: it has a problem
	said    map[string]bool // errors, since the list of the file was in force
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
	if !w.settled {
		w.settled = true
		w.list = nil
		if err == nil {
			w.list, err = Parse(text)
			err = inFile(w.path, err)
		}
		if err != nil {
			w.complain(err)
		}
	}
	if w.list == nil {
		return
	}
	if w.list.Hash() != w.inForce() {
		if err := w.take(w.list); err != nil {
			w.complain(err)
			return
		}
	}
	clear(w.said)
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
