package tests

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestTestsWaitOnSignals keeps sleeps out of tests: one that sleeps too little fails on a busy machine, one that sleeps
// enough is slow everywhere. In a file that imports testing/synctest the clock is the bubble's and sleeping is exact; any
// other sleep has a comment on its line that starts with "sleeps:" and says what it cannot wait for.
func TestTestsWaitOnSignals(t *testing.T) {
	for _, p := range loadPackages(t) {
		report(t, checkSleeps(p))
	}
}

func checkSleeps(p *pkg) (problems []string) {
	for _, file := range p.files {
		if !file.test && !proves(p.path) || importsPackage(file, "testing/synctest") {
			continue
		}
		names := clockNames(file)
		ast.Inspect(file.ast, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok || selector.Sel.Name != "Sleep" {
				return true
			}
			x, ok := selector.X.(*ast.Ident)
			if ok && names[x.Name] == "time" && !excused(p.fset, file, selector.Pos()) {
				problems = append(problems, fmt.Sprintf("%s: a test sleeps: wait on a signal, use testing/synctest, or say "+
					"why on the line (// sleeps: …)", p.position(selector.Pos())))
			}
			return true
		})
	}
	return problems
}

func importsPackage(file sourceFile, wanted string) (found bool) {
	file.imports(func(imported string, _ *ast.ImportSpec) { found = found || imported == wanted })
	return found
}

// excused reports whether the line has a comment that starts with "sleeps:" and goes on.
func excused(fset *token.FileSet, file sourceFile, at token.Pos) bool {
	line := fset.Position(at).Line
	return slices.ContainsFunc(file.ast.Comments, func(group *ast.CommentGroup) bool {
		reason, found := strings.CutPrefix(group.Text(), "sleeps:")
		return found && strings.TrimSpace(reason) != "" && fset.Position(group.Pos()).Line == line
	})
}

func TestCheckSleepsFindsSleeps(t *testing.T) {
	for _, c := range []struct{ folder, file, source, want string }{
		{"x", "x_test.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "x_test.go:3: a test sleeps"},
		{"x", "x_test.go", "import \"time\"\nfunc f() { time.Sleep(1) } // sleeps: the kernel tells nobody", ""},
		{"x", "x_test.go", "import \"time\"\nfunc f() { time.Sleep(1) } // sleeps:", "a test sleeps"},
		{"x", "x_test.go", "import (\n\"testing/synctest\"\n\"time\"\n)\nvar _ = synctest.Wait\nfunc f() { time.Sleep(1) }", ""},
		{"x", "x.go", "import \"time\"\nfunc f() { time.Sleep(1) }", ""},
		{"tests/cluster", "x.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "a test sleeps"},
	} {
		t.Run(c.folder+"/"+c.file, func(t *testing.T) {
			p := parsePackage(t, c.folder, map[string]string{c.file: "package x\n" + c.source + "\n"})
			wantProblem(t, checkSleeps(p), c.want)
		})
	}
}
