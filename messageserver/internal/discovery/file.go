package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20 // bytes

// Load reads the list from a file. Each line of an error names the file.
func Load(path string) (List, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	list, err := Parse(text)
	return list, inFile(path, err)
}

// read returns what is in the file.
func read(path string) ([]byte, error) {
	// Looked at before it is opened: opening a pipe waits for somebody to write to it.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path) //nolint:gosec // the operator names it
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, bare(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("has more than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, bare(err))
	}
	return text, nil
}

// bare takes away what an error of package os says of operation and path.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// inFile gives each problem of Parse the file's name, as path:line:column.
func inFile(path string, err error) error {
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		return err
	}
	return errors.New(problems.text(func(p Problem) string {
		return fmt.Sprintf("%s:%d:%d: %s", path, p.Line, p.Column, p.Text)
	}))
}

const header = `# The members of the mesh, the same on all nodes. Written by twohop (mesh add, remove, set).
# It may be edited by hand: running nodes read it again. Comments do not outlive the next time that twohop writes it.
`

// Save checks the list and writes it. The file has its old content or the new one, also after a crash, and keeps its mode
// (a new one has 0644); a symbolic link stays one. The order of concurrent calls is not defined.
func Save(path string, l List) error {
	if err := l.Validate(); err != nil {
		return fmt.Errorf("%s: not written: %w", path, err)
	}
	text := bytes.NewBufferString(header)
	encoder := yaml.NewEncoder(text)
	encoder.SetIndent(2)
	err := encoder.Encode(struct {
		Members List `yaml:"members"`
	}{l.Sorted()})
	if err = errors.Join(err, encoder.Close()); err == nil {
		err = replace(path, text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("%s: not written: %w", path, err)
	}
	return nil
}

// replace writes a file beside path, and gives it the name when its content is on disk.
func replace(path string, text []byte) error {
	mode := fs.FileMode(0o644)
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = path
	case err != nil:
		return err
	default:
		info, err := os.Stat(target)
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
	}
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nobody else knows it
		return err
	}
	d, err := os.Open(dir) //nolint:gosec // the folder of the file that the operator names
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
