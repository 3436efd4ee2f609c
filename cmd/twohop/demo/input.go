package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

// maxReported bounds how many bad lines are shown; further ones are counted.
const maxReported = 20

// input is where gifts come from: a file, stdin, or the generator. One goroutine uses it.
type input struct {
	// Static after construction.
	name    string // for people
	open    func() (io.ReadCloser, error)
	again   bool // it can be read another time
	reportf func(format string, args ...any)

	from   io.ReadCloser
	lines  *bufio.Reader
	line   int // number of the last line
	passes int // that are over
	good   int // gifts, in all passes

	// bad is how many lines were no gift, in the first pass. Anybody may read it.
	bad     atomic.Int64
	pending *gift
}

// sampleInput is the file that is read when no other is named.
const sampleInput = "configs/demo/gifts.jsonl"

// openInput opens a file, stdin ("-"), or for "" the sample: the file of that name here or above, else what the generator
// makes. It returns when there is a gift; an input that has none is an error.
func openInput(name string, stdin io.Reader, reportf func(format string, args ...any)) (*input, error) {
	in := &input{name: name, again: true, reportf: reportf}
	if name == "" {
		name = findSample()
		in.name = name
	}
	switch name {
	case "-":
		in.name, in.again = "stdin", false
		in.open = func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }
	case "":
		in.name = "the generator"
		in.open = func() (io.ReadCloser, error) {
			var made bytes.Buffer
			err := writeGifts(&made)
			return io.NopCloser(&made), err
		}
	default:
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
		if info.IsDir() {
			return nil, fmt.Errorf("input: %s is a directory, must be a file with a gift a line, or - for stdin", name)
		}
		in.again = info.Mode().IsRegular()
		in.open = func() (io.ReadCloser, error) { return os.Open(name) } //nolint:gosec // whoever starts the demo names it
	}
	if err := in.rewind(); err != nil {
		return nil, err
	}
	first, err := in.next()
	switch {
	case err == nil:
		in.pending, in.good = &first, 0
		return in, nil
	case !errors.Is(err, io.EOF):
		in.close()
		return nil, err
	case in.bad.Load() > 0:
		err = fmt.Errorf("input: %s has no gift, and %d lines that are none; a gift is %s", in.name, in.bad.Load(), example)
	default:
		err = fmt.Errorf("input: %s is empty; it must have a gift a line, such as %s", in.name, example)
	}
	in.close()
	return nil, err
}

// findSample returns the path of the sample in the working directory or above it, or "".
func findSample() string {
	directory, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		path := filepath.Join(directory, filepath.FromSlash(sampleInput))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return ""
		}
		directory = parent
	}
}

// rewind starts another pass.
func (in *input) rewind() error {
	in.close()
	from, err := in.open()
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	in.from, in.line = from, 0
	in.lines = bufio.NewReaderSize(from, maxLine+1)
	return nil
}

func (in *input) close() {
	if in.from != nil {
		_ = in.from.Close() // it was read only
	}
}

// next returns the next gift. io.EOF means that the pass is over.
func (in *input) next() (gift, error) {
	if in.pending != nil {
		g := *in.pending
		in.pending = nil
		in.good++
		return g, nil
	}
	for {
		line, err := in.readLine()
		if err != nil {
			if errors.Is(err, io.EOF) {
				in.passes++
				return gift{}, io.EOF
			}
			return gift{}, fmt.Errorf("input: %s, after line %d: %w", in.name, in.line, err)
		}
		if line != nil && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var g gift
		if line == nil {
			err = fmt.Errorf("is longer than %d bytes", maxLine)
		} else {
			g, err = parseGift(line)
		}
		if err == nil {
			in.good++
			return g, nil
		}
		in.skip(err)
	}
}

// skip reports a line that is no gift. Later passes meet the same ones.
func (in *input) skip(why error) {
	if in.passes > 0 {
		return
	}
	bad := in.bad.Add(1)
	switch {
	case bad <= maxReported:
		in.reportf("%s, line %d is skipped: it %s", in.name, in.line, sentence(why))
	case bad == maxReported+1:
		in.reportf("%s, line %d is skipped, too; further lines that are no gift are counted only", in.name, in.line)
	}
}

// sentence lets "is longer than …" and "amount is missing" both follow "it".
func sentence(why error) string {
	text := why.Error()
	if len(text) > 3 && text[:3] == "is " {
		return text
	}
	return "is no gift: " + text
}

// readLine returns the next line without its end, nil for one that is too long, or an error: io.EOF after the last line.
func (in *input) readLine() ([]byte, error) {
	line, err := in.lines.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	in.line++
	if in.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = in.lines.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if long {
		return nil, nil
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if line == nil {
		line = []byte{}
	}
	return line, nil
}
