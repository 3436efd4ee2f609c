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
	seen  string           // the hash of the content that was decided upon last; empty: none yet
	retry <-chan time.Time // when to take again what could not be put in force; nil: never
}

// take hears a content, or why there is none, when it has settled.
func (f *follower) take(ctx context.Context, text []byte, err error) {
	f.retry = nil
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errors.New("it is empty; a document without rules is \"format: 1\" and, in the next line, \"rules: []\"")
	}
	if err == nil {
		_, err = rules.Parse(text)
	}
	if err != nil {
		f.refuse(err)
		return
	}
	for try := 1; ; try++ {
		err := f.decide(ctx, text)
		if _, conflict := errors.AsType[*ConflictError](err); conflict && try < maxTries {
			continue // another node may have put the same file in force
		}
		if err != nil {
			f.wait(err)
		}
		return
	}
}

// decide puts a content in force, if it is news. An error says that it could not.
func (f *follower) decide(ctx context.Context, text []byte) error {
	r, hash := f.r, rules.Hash(text)
	past, err := f.ask(ctx, hash)
	switch {
	case err != nil:
		return err
	case past.newest.Hash == hash:
		f.settle(hash)
		return nil
	case !isZero(past.same.Mark) && past.newest.Hash != f.seen:
		// This copy is behind: it is the file as it was.
		r.o.Log.Warn("rules file left alone", "file", r.o.File, "because", fmt.Sprintf("its content was put in force as %s, and a newer one since, as %s",
			past.same, past.newest), "in force", r.Current().String(), "remedy", "change the file, or apply it")
		f.settle(hash)
		return nil
	}
	if left := r.began + r.o.FileWaits - r.o.Now(); left > 0 && isZero(past.from) && isZero(r.Current().Mark) {
		f.retry = time.After(left)
		return nil
	}
	before, err := f.document(ctx, past.newest.Mark)
	if err != nil {
		return err
	}
	applied, err := r.change(ctx, change{
		action: ActionFile, author: fileMark + r.o.File, reason: "the file has changed", from: &past.from, always: true, previous: before,
		text: func(Entry) ([]byte, error) { return text, nil },
	})
	_, invalid := errors.AsType[*rules.Invalid](err)
	switch {
	case isZero(applied.Mark) && invalid:
		f.refuse(err) // for its ends: with other rules in force, or a clock that is set, it may be right
		f.retry = time.After(retryEvery)
	case isZero(applied.Mark):
		return err
	default:
		f.settle(hash)
	}
	return nil
}

// past is what the history tells of a content.
type past struct {
	from   governance.Mark // the newest of all entries
	newest Entry           // the newest entry that a file has made
	same   Entry           // the newest of those that has this content
}

// ask reads the history each time: other nodes may follow copies of the same file.
func (f *follower) ask(ctx context.Context, hash string) (p past, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	found, err := f.r.o.Store.History(ctx, governance.Mark{}, 0)
	if err != nil {
		return past{}, err
	}
	for i, e := range found {
		if i == 0 {
			p.from = e.Mark
		}
		if !strings.HasPrefix(e.Author, fileMark) {
			continue
		}
		if isZero(p.newest.Mark) {
			p.newest = e
		}
		if e.Hash == hash {
			p.same = e
			break
		}
	}
	return p, nil
}

// document returns what a file had, or nil if it is not known: the store has it no more, or this program does not understand it.
func (f *follower) document(ctx context.Context, m governance.Mark) (*rules.Document, error) {
	if isZero(m) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	e, err := f.r.o.Store.Entry(ctx, m)
	if err != nil && !errors.Is(err, ErrNoEntry) {
		return nil, err
	}
	doc, _ := rules.Parse(e.Text)
	return doc, nil
}

// settle says that a content was decided upon.
func (f *follower) settle(hash string) {
	f.seen = hash
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
