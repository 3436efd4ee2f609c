package rulestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

const (
	fileEvery  = time.Second            // how often the file is read without any event
	fileQuiet  = 200 * time.Millisecond // for so long a content must not change before it counts
	fileLimit  = 16 << 20               // bytes; a document has fewer
	retryEvery = 2 * time.Second        // of what could not be put in force
)

// followFile puts the file's document in force whenever the file's content has become another one.
func (r *Rules) followFile(ctx context.Context) {
	f := follower{r: r}
	watchFile(ctx, r.o.File, func() <-chan time.Time { return f.retry }, f.take)
}

// follower is what is known of the file.
type follower struct {
	r *Rules

	// Owned by watchFile's caller.
	asked bool // applied and doc are known
	// applied is the hash of the content that was last put in force. It outlives the process in the history, as the hash of the newest
	// entry whose author is a file. doc is its document, nil if the store has it no more.
	applied string
	doc     *rules.Document
	retry   <-chan time.Time // when to take again what could not be put in force; nil: never
}

// take hears a content, or why there is none, when it has settled.
func (f *follower) take(ctx context.Context, text []byte, err error) {
	r := f.r
	f.retry = nil
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errors.New("it is empty; a document without rules is \"format: 1\" and, in the next line, \"rules: []\"")
	}
	var doc *rules.Document
	if err == nil {
		doc, err = rules.Parse(text)
	}
	if err != nil {
		f.refuse(err)
		return
	}
	if err := f.ask(ctx); err != nil {
		f.wait(err)
		return
	}
	if f.applied == rules.Hash(text) {
		f.settle()
		return
	}
	applied, err := r.change(ctx, change{
		action: ActionFile, author: fileMark + r.o.File, reason: "the file has changed", always: true, previous: f.doc,
		text: func(Entry) ([]byte, error) { return text, nil },
	})
	_, invalid := errors.AsType[*rules.Invalid](err)
	switch {
	case isZero(applied.Mark) && invalid:
		f.refuse(err) // for its ends: with other rules in force, or a clock that is set, it may be right
		f.retry = time.After(retryEvery)
	case isZero(applied.Mark):
		f.wait(err)
	default:
		f.applied, f.doc = applied.Hash, doc
		f.settle()
	}
}

// ask finds out what was last put in force.
func (f *follower) ask(ctx context.Context) error {
	if f.asked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	found, err := f.r.o.Store.History(ctx, governance.Mark{}, 0)
	if err != nil {
		return err
	}
	last := slices.IndexFunc(found, func(e Entry) bool { return strings.HasPrefix(e.Author, fileMark) })
	if last >= 0 {
		f.applied = found[last].Hash
		e, err := f.r.o.Store.Entry(ctx, found[last].Mark)
		if err != nil && !errors.Is(err, ErrNoEntry) {
			return err
		}
		f.doc, _ = rules.Parse(e.Text) // nil if this program does not understand it
	}
	f.asked = true
	return nil
}

func (f *follower) settle() {
	f.r.troubles.end(TroubleInvalidFile)
	f.r.troubles.end(TroubleFileWaits)
}

// refuse keeps what is in force because of what is in the file.
func (f *follower) refuse(err error) {
	f.r.troubles.end(TroubleFileWaits)
	f.r.troubles.begin(TroubleInvalidFile, fmt.Sprintf("%s: %s; the rules stay what they are (%s)", f.r.o.File, err, f.r.Current()))
}

// wait keeps what is in force for the moment.
func (f *follower) wait(err error) {
	f.r.troubles.end(TroubleInvalidFile)
	f.r.troubles.begin(TroubleFileWaits, fmt.Sprintf("%s has changed, and is not in force yet: %v", f.r.o.File, err))
	f.retry = time.After(retryEvery)
}

// watchFile calls take with the content of a file, or why it cannot be read, in the beginning and whenever that is another one; each
// time after it has stayed the same for a moment, so that a file that is being written is not taken in half. When retry has a value it
// calls take again. It returns when ctx is done.
//
// Events of the folder make it quick. What they do not tell of is found by reading: files behind links, on network file systems, in
// folders that were made anew.
func watchFile(ctx context.Context, path string, retry func() <-chan time.Time, take func(context.Context, []byte, error)) {
	events, failures := make(chan fsnotify.Event), make(chan error)
	watcher, err := fsnotify.NewWatcher() // where the system has none left it is done without
	if err == nil {
		defer func() { _ = watcher.Close() }() // it ends with this call, whatever it says
		events, failures = watcher.Events, watcher.Errors
	}
	dir := filepath.Dir(path)
	ticker := time.NewTicker(fileEvery)
	defer ticker.Stop()
	var last, taken content
	var quiet <-chan time.Time
	for {
		if watcher != nil {
			_ = watcher.Add(dir) // again and again: it may be a new folder of that name
		}
		now := readFile(path)
		if !now.same(last) {
			last, quiet = now, time.After(fileQuiet)
		}
		select {
		case <-ctx.Done():
			return
		case <-quiet:
			quiet = nil
			if again := readFile(path); !again.same(last) {
				last, quiet = again, time.After(fileQuiet)
			} else if !last.same(taken) {
				taken = last
				take(ctx, last.text, last.err())
			}
		case <-retry():
			take(ctx, taken.text, taken.err())
		case <-events:
		case <-failures: //nolint:errcheck // as too many events at once: reading finds what they were
		case <-ticker.C:
		}
	}
}

// content is what a file has, or why it cannot be read. The zero content is that of no file at all.
type content struct {
	looked bool
	text   []byte
	wrong  string
}

func (c content) same(o content) bool {
	return c.looked == o.looked && c.wrong == o.wrong && bytes.Equal(c.text, o.text)
}

func (c content) err() error {
	if c.wrong == "" {
		return nil
	}
	return errors.New(c.wrong)
}

func readFile(path string) content {
	// Looked at before it is opened: opening a pipe waits for somebody to write to it.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path) //nolint:gosec // the operator names it
	}
	var text []byte
	if err == nil {
		defer f.Close()
		text, err = io.ReadAll(io.LimitReader(f, fileLimit+1))
	}
	if err == nil && len(text) > fileLimit {
		err = fmt.Errorf("it has more than %d bytes", fileLimit)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	if err != nil {
		return content{looked: true, wrong: err.Error()}
	}
	return content{looked: true, text: text}
}
