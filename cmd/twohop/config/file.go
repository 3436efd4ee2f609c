package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 100_000 // visited, with what aliases repeat
	maxDepth = 16
)

// reader reads one file into options.
type reader struct {
	file     string
	open     bool // others may read the file
	lookup   func(variable string) (string, bool)
	places   map[string]Place
	problems Problems
	named    []string // variables that the file refers to
	nodes    int
}

// readFile reads the file into v.
func (r *reader) readFile(v reflect.Value) {
	f, err := os.Open(r.file)
	if err != nil {
		r.problemf(Place{source: inFile, name: r.file}, "", "%v", errors.Unwrap(err))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	var text []byte
	if err == nil {
		r.open = info.Mode().Perm()&0o007 != 0
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	if err != nil {
		r.problemf(Place{source: inFile, name: r.file}, "", "%v", err)
		return
	}
	r.read(text, v)
}

func (r *reader) read(text []byte, v reflect.Value) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
		return
	case err != nil:
		r.syntax(err)
		return
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		r.problemf(r.at(&second), "", "a second document begins: a configuration is one document")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	r.value(document.Content[0], v, "", 0)
}

// lineOf is how the parser names a line.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (r *reader) syntax(err error) {
	place := Place{source: inFile, name: r.file}
	parts := lineOf.FindStringSubmatch(err.Error())
	if parts != nil {
		place.line, _ = strconv.Atoi(parts[1])
		place.column = 1
	}
	r.problemf(place, "", "not YAML: %s", lineOf.ReplaceAllString(err.Error(), ""))
}

func (r *reader) problemf(at Place, key, format string, args ...any) {
	r.problems = append(r.problems, Problem{at, key, fmt.Sprintf(format, args...)})
}

func (r *reader) at(n *yaml.Node) Place {
	return Place{source: inFile, name: r.file, line: n.Line, column: n.Column}
}

// value reads n into v. A problem marks its key as placed, so that it is not judged again.
func (r *reader) value(n *yaml.Node, v reflect.Value, name string, depth int) {
	r.nodes++
	if r.nodes == maxNodes || depth > maxDepth {
		r.problemf(r.at(n), name, "too much: aliases or nesting without end?")
		r.nodes = maxNodes
	}
	if r.nodes >= maxNodes {
		return
	}
	if n.Kind == yaml.AliasNode {
		r.value(n.Alias, v, name, depth+1)
		return
	}
	r.places[name] = r.at(n)
	empty := n.Kind == yaml.ScalarNode && n.Tag == "!!null"
	switch {
	case v.Kind() == reflect.Struct && (n.Kind == yaml.MappingNode || empty):
		r.mapping(n, v, name, depth)
	case v.Kind() == reflect.Struct:
		r.wrongf(n, name, "must be a section: keys with values, each on a line of its own")
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			element := reflect.New(v.Type().Elem()).Elem()
			r.value(item, element, fmt.Sprintf("%s[%d]", name, i), depth+1)
			v.Set(reflect.Append(v, element))
		}
	case v.Kind() == reflect.Slice && !empty:
		r.wrongf(n, name, "must be a list: lines that begin with -")
	case v.Kind() == reflect.Slice:
	case empty:
		r.wrongf(n, name, "has no value: give it one, or leave the key out for its default")
	case n.Kind != yaml.ScalarNode:
		r.wrongf(n, name, "must be a single value")
	default:
		if v.Type() == secretType && r.open && n.Value != "" {
			r.wrongf(n, name, "a secret in a file that everybody can read: chmod o= %s, or use secret_file or secret_env", r.file)
			return
		}
		if err := assign(v, name, n.Value); err != nil {
			r.wrongf(n, name, "%v", err)
		} else if isPath(name) && n.Value != "" && !filepath.IsAbs(n.Value) {
			r.fromHere(n, v, name)
		}
	}
}

// isPath reports whether a key's value is the name of a file or a folder.
func isPath(name string) bool {
	return strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_dir")
}

// fromHere makes a path that is relative to the configuration file one that means the same everywhere.
func (r *reader) fromHere(n *yaml.Node, v reflect.Value, name string) {
	path, err := filepath.Abs(filepath.Join(filepath.Dir(r.file), n.Value))
	if err != nil {
		r.wrongf(n, name, "%v", err)
		return
	}
	v.SetString(path)
}

// wrongf notes a problem with a key's value.
func (r *reader) wrongf(n *yaml.Node, name, format string, args ...any) {
	r.problemf(r.at(n), name, format, args...)
}

// mapping reads a section.
func (r *reader) mapping(n *yaml.Node, v reflect.Value, name string, depth int) {
	seen := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		full := join(name, k.Value)
		if first := seen[k.Value]; first != nil {
			r.problemf(r.at(k), full, "stands twice: first in line %d", first.Line)
			continue
		}
		seen[k.Value] = k
		if field, ok := fieldOf(v, k.Value); ok {
			r.value(value, field, full, depth+1)
			r.places[full] = r.at(k)
			continue
		}
		if base, how := secretKey(v, k.Value); base != "" {
			r.secret(value, v, join(name, base), how, seen[base] != nil)
			seen[base] = k
			continue
		}
		r.problemf(r.at(k), full, "is not a key%s", r.suggest(v, name, full))
	}
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag(v.Type().Field(i)) == name && name != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// suggest names the key that was meant: one of the same section, or one with this name in another.
func (r *reader) suggest(v reflect.Value, section, full string) string {
	var candidates []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := tag(f); name != "" {
			candidates = append(candidates, join(section, name))
			if f.Type == secretType {
				candidates = append(candidates, join(section, name+"_file"), join(section, name+"_env"))
			}
		}
	}
	own := slices.Clone(candidates)
	if !strings.Contains(section, "[") {
		candidates = append(candidates, Names()...)
	}
	if meant := nearest(full, candidates); meant != "" {
		return "; " + meant + " is"
	}
	for i := range own {
		own[i] = own[i][strings.LastIndexByte(own[i], '.')+1:]
	}
	return "; here are: " + strings.Join(own, ", ")
}
