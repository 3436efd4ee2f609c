package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Open opens a log, which begins if there is none; its folder, too. A last line without its end is cut off.
func Open(path string, o Options) (*Log, error) {
	o = o.withDefaults()
	s := &files{opts: o, path: path, wrap: func(f *os.File) file { return f }}
	last, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return newLog(o, s, last), nil
}

// file is what appending needs of an *os.File.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
}

// files is a log on disk: the newest file, and those that were renamed.
type files struct {
	// Static after construction.
	opts Options
	path string
	wrap func(*os.File) file // tests put a disk in that fails

	// Owned by who has the log's turn.
	f     file
	dirty bool // what could not be taken back stands beyond size

	// Guarded by mu, written by who has the turn.
	mu   sync.Mutex
	size int64 // of the lines that are safe
}

// open finds the last line, cuts off what follows it, and gets ready to append.
func (s *files) open() (end, error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return end{}, err
	}
	if info, err := os.Stat(s.path); err == nil && !info.Mode().IsRegular() { // a pipe would wait for a reader
		return end{}, fmt.Errorf("%s: is not a file", s.path)
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return end{}, err
	}
	last, err := s.recover(f)
	if err != nil {
		f.Close()
		return end{}, err
	}
	s.f = s.wrap(f)
	return last, nil
}

// recover cuts off a torn line and returns the last whole one, of this file or the one before.
func (s *files) recover(f *os.File) (end, error) {
	info, err := f.Stat()
	if err != nil {
		return end{}, err
	}
	tail, err := newTail(f, info.Size())
	if err != nil {
		return end{}, fmt.Errorf("%s: %w", s.path, err)
	}
	if torn := info.Size() - tail.size; torn > 0 {
		if err := errors.Join(f.Truncate(tail.size), f.Sync()); err != nil {
			return end{}, err
		}
		s.opts.Log.Warn("audit: a torn last line was cut off", "path", s.path, "bytes", torn)
	}
	s.size = tail.size
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return end{}, err
	}
	text, err := tail.previous()
	if errors.Is(err, io.EOF) {
		return s.endOfRenamed()
	}
	return endOf(s.path, text, err)
}

// endOfRenamed returns the last line of the newest file that was renamed.
func (s *files) endOfRenamed() (end, error) {
	renamed, err := s.renamed()
	if err != nil || len(renamed) == 0 {
		return end{}, err
	}
	path := renamed[len(renamed)-1]
	f, err := os.Open(path) //nolint:gosec // beside the file that the operator names
	if err != nil {
		return end{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return end{}, err
	}
	tail, err := newTail(f, info.Size())
	if err != nil {
		return end{}, fmt.Errorf("%s: %w", path, err)
	}
	text, err := tail.previous()
	return endOf(path, text, err)
}

func endOf(path string, text []byte, err error) (end, error) {
	var last line
	if err == nil {
		last, err = parse(text)
	}
	if err != nil {
		return end{}, fmt.Errorf("%s: the last line cannot be continued: %w; move the file away to begin a new log", path, err)
	}
	return end{last.Seq, hash(text)}, nil
}

// put writes and syncs a line, or takes it back.
func (s *files) put(text []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.size > 0 && s.size+int64(len(text))+1 > s.opts.MaxBytes {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	text = append(text, '\n')
	_, err := s.f.Write(text)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		s.dirty = true
		if back := s.takeBack(); back != nil {
			s.opts.Log.Error("audit: a line that failed could not be taken back", "path", s.path, "cause", back)
		}
		return fmt.Errorf("audit: %w", err)
	}
	s.mu.Lock()
	s.size += int64(len(text))
	s.mu.Unlock()
	return nil
}

// takeBack cuts off what is not safe.
func (s *files) takeBack() error {
	if err := errors.Join(s.f.Truncate(s.size), s.f.Sync()); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

// check wants the file to be there as it was left.
func (s *files) check() error {
	if s.f == nil { // renamed, and the next one could not be made
		return s.next()
	}
	if s.dirty {
		if err := s.takeBack(); err != nil {
			return fmt.Errorf("audit: %s: a line that failed cannot be taken back: %w", s.path, err)
		}
	}
	const cure = "put it back, or start the node again"
	own, err := s.f.Stat()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	there, err := os.Stat(s.path)
	switch {
	case err != nil:
		return fmt.Errorf("audit: the file was moved away: %w; %s", err, cure)
	case !os.SameFile(own, there):
		return fmt.Errorf("audit: %s: another file stands in its place; %s", s.path, cure)
	case own.Size() != s.size:
		return fmt.Errorf("audit: %s: somebody else has written to it: it has %d bytes, not %d; %s", s.path, own.Size(), s.size, cure)
	}
	return nil
}

func (s *files) view(v *View) {
	v.Where = s.path
	s.mu.Lock()
	v.Bytes = s.size
	s.mu.Unlock()
	if renamed, err := s.renamed(); err == nil {
		v.Files = len(renamed) + 1
	}
}

func (s *files) close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}
