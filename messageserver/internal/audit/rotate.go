package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// rotate renames the file, which is full, and begins a new one.
func (s *files) rotate() error {
	renamed, err := s.renamed()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	number := 1
	if len(renamed) > 0 {
		number = s.number(renamed[len(renamed)-1]) + 1
	}
	to := fmt.Sprintf("%s.%06d", s.path, number)
	if err := os.Rename(s.path, to); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	s.opts.Log.Info("audit: the file is full, a new one begins", "path", s.path, "old", to)
	_ = s.f.Close() // synced with its last line
	s.f = nil
	return s.next()
}

// next begins a file where none is.
func (s *files) next() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("audit: %w", errors.Join(err, f.Close(), os.Remove(s.path)))
	}
	s.f = s.wrap(f)
	s.mu.Lock()
	s.size = 0
	s.mu.Unlock()
	return nil
}

// renamed returns the files that were full, the oldest first.
func (s *files) renamed() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.path))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if path := filepath.Join(filepath.Dir(s.path), entry.Name()); s.number(path) > 0 {
			found = append(found, path)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return s.number(a) - s.number(b) })
	return found, nil
}

// number returns the one at the end of a file's name, 0 if it is none of ours.
func (s *files) number(path string) int {
	digits, ours := strings.CutPrefix(filepath.Base(path), filepath.Base(s.path)+".")
	n, err := strconv.Atoi(digits)
	if !ours || err != nil || len(digits) < 6 || n < 1 {
		return 0
	}
	return n
}

func syncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // the folder of the file that the operator names
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
