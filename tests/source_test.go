package tests

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/twohop/twohop"

// pkg is one folder of Go as it is written, for every platform and build tag.
type pkg struct {
	path  string // below the module, "." for its root
	fset  *token.FileSet
	files []sourceFile
}

type sourceFile struct {
	name      string // below the repository
	test      bool
	generated bool
	ast       *ast.File
}

// loadPackages reads every package of the main module. A file that does not parse fails the test: it cannot be judged.
func loadPackages(t *testing.T) []*pkg {
	t.Helper()
	const root = ".."
	fset := token.NewFileSet()
	byPath := map[string]*pkg{}
	var packages []*pkg
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && ignoredFolder(name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file, ignored, err := parseSource(fset, filepath.ToSlash(below), source)
		if err != nil || ignored {
			return err
		}
		folder := path.Dir(file.name)
		p := byPath[folder]
		if p == nil {
			p = &pkg{path: folder, fset: fset}
			byPath[folder] = p
			packages = append(packages, p)
		}
		p.files = append(p.files, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// ignoredFolder reports whether the go tool, too, passes the folder by: hidden, testdata, another module.
func ignoredFolder(name, base string) bool {
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		base == "testdata" || base == "vendor" || base == "node_modules" {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

// parseSource parses one file; ignored reports `//go:build ignore`, a program that belongs to no package.
func parseSource(fset *token.FileSet, name string, source []byte) (file sourceFile, ignored bool, err error) {
	parsed, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return sourceFile{}, false, err
	}
	for _, group := range parsed.Comments {
		if group.Pos() > parsed.Package {
			break
		}
		for _, comment := range group.List {
			expression, err := constraint.Parse(comment.Text)
			if err == nil && !expression.Eval(func(tag string) bool { return tag != "ignore" }) {
				return sourceFile{}, true, nil
			}
		}
	}
	return sourceFile{
		name:      name,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(parsed),
		ast:       parsed,
	}, false, nil
}

// parsePackage makes a package of source text, for tests of the checkers themselves.
func parsePackage(t *testing.T, folder string, sources map[string]string) *pkg {
	t.Helper()
	p := &pkg{path: folder, fset: token.NewFileSet()}
	for name, text := range sources {
		file, ignored, err := parseSource(p.fset, path.Join(folder, name), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if !ignored {
			p.files = append(p.files, file)
		}
	}
	return p
}

func (p *pkg) position(at token.Pos) string {
	position := p.fset.Position(at)
	return position.Filename + ":" + strconv.Itoa(position.Line)
}

// imports calls visit for each import of a file.
func (f sourceFile) imports(visit func(path string, spec *ast.ImportSpec)) {
	for _, spec := range f.ast.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it before
		}
		visit(imported, spec)
	}
}

// matches reports whether a path is what a pattern names: "x" is x itself, "x/*" is one level below it, "x/..." is x
// and everything below it, "./..." is everything.
func matches(pattern, name string) bool {
	if pattern == "./..." {
		return true
	}
	if prefix, found := strings.CutSuffix(pattern, "/..."); found {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	if prefix, found := strings.CutSuffix(pattern, "/*"); found {
		rest, below := strings.CutPrefix(name, prefix+"/")
		return below && !strings.Contains(rest, "/")
	}
	return pattern == name
}

func matchesAny(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}
