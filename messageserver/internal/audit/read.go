package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// read goes through all files as they are now.
func (s *files) read(ctx context.Context, back bool, visit func(place, []byte) bool) error {
	paths, newest, err := s.snapshot()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if newest != nil {
		defer newest.Close()
	}
	if back {
		slices.Reverse(paths)
	}
	through := readForward
	if back {
		through = readBack
	}
	for _, path := range paths {
		f := newest
		if path != s.path {
			if f, err = os.Open(path); err != nil { //nolint:gosec // beside the file that the operator names
				return fmt.Errorf("audit: %w", err)
			}
		}
		more, err := through(ctx, f, path, visit)
		if path != s.path {
			f.Close()
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// snapshot returns the files, the oldest first, and the newest one open: its name may go to another file meanwhile.
func (s *files) snapshot() (paths []string, newest *os.File, err error) {
	const tries = 10
	for range tries {
		before, err := s.renamed()
		if err != nil {
			return nil, nil, err
		}
		newest, err = os.Open(s.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		after, err := s.renamed()
		if err == nil && slices.Equal(before, after) {
			if newest != nil {
				after = append(after, s.path)
			}
			return after, newest, nil
		}
		if newest != nil {
			newest.Close()
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("%s: was renamed too often while it was read", s.path)
}

// readForward visits the lines of a file in order. What follows the last end of a line is not safe yet.
func readForward(ctx context.Context, f *os.File, path string, visit func(place, []byte) bool) (more bool, err error) {
	reader := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		text, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if errors.Is(err, errTooLong) {
			return false, &BrokenError{path, n, err.Error()}
		}
		if err != nil {
			return false, fmt.Errorf("audit: %w", err)
		}
		if !visit(place{path, n}, text) {
			return false, nil
		}
	}
}

var errTooLong = fmt.Errorf("is not a record: it has more than %d bytes", MaxRecord)

// readLine returns the next line without its end, or io.EOF where none is whole.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		piece, err := r.ReadSlice('\n')
		text = append(text, piece...)
		switch {
		case len(text) > MaxRecord+1:
			return nil, errTooLong
		case err == nil:
			return text[:len(text)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// readBack visits the lines of a file from the last one back.
func readBack(ctx context.Context, f *os.File, path string, visit func(place, []byte) bool) (more bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("audit: %w", err)
	}
	t, err := newTail(f, info.Size())
	for err == nil {
		if err = ctx.Err(); err != nil {
			return false, err
		}
		var text []byte
		if text, err = t.previous(); err == nil && !visit(place{file: path}, text) {
			return false, nil
		}
	}
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, fmt.Errorf("audit: %s: %w", path, err)
}

// tail reads lines from the end of a file.
type tail struct {
	f    io.ReaderAt
	size int64 // up to and with the end of the last whole line

	at  int64  // where buf begins
	buf []byte // what is read and not returned; ends with the end of a line, or is empty
}

// newTail finds the last whole line.
func newTail(f io.ReaderAt, size int64) (*tail, error) {
	t := &tail{f: f, at: size}
	for {
		if i := bytes.LastIndexByte(t.buf, '\n'); i >= 0 {
			t.buf = t.buf[:i+1]
			break
		}
		if t.at == 0 {
			t.buf = nil
			break
		}
		t.buf = nil // of a torn line: its length does not matter
		if err := t.more(); err != nil {
			return nil, err
		}
	}
	t.size = t.at + int64(len(t.buf))
	return t, nil
}

// more reads the block before what is read.
func (t *tail) more() error {
	n := min(t.at, 64<<10)
	block := make([]byte, n, n+int64(len(t.buf)))
	if _, err := t.f.ReadAt(block, t.at-n); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.buf = append(block, t.buf...)
	t.at -= n
	return nil
}

// previous returns the line before the one that it returned last, without its end, and io.EOF before the first.
func (t *tail) previous() ([]byte, error) {
	for {
		if len(t.buf) > 0 {
			end := len(t.buf) - 1
			if i := bytes.LastIndexByte(t.buf[:end], '\n'); i >= 0 || t.at == 0 {
				text := t.buf[i+1 : end]
				t.buf = t.buf[:i+1]
				return text, nil
			}
		}
		switch {
		case t.at == 0:
			return nil, io.EOF
		case len(t.buf) > MaxRecord+1:
			return nil, errTooLong
		}
		if err := t.more(); err != nil {
			return nil, err
		}
	}
}
