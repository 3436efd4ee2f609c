package tests

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// room is one row of "Who may import whom" in docs/architecture.md. A row whose name ends in /... covers the packages
// below it, too, and they may import each other.
type room struct {
	name  string   // the first row that matches a package is the package's
	may   []string // what non-test code may import, of ours
	never []string // taken out of may
}

var house = []room{
	{name: "proto/pb"},
	{name: "proto/wire", may: []string{"proto/pb"}},

	{name: "internal/scram"},
	{name: "internal/frameconn", may: []string{"proto/*"}},
	{name: "internal/caller", may: []string{"proto/*", "internal/frameconn", "internal/scram"}},
	{name: "internal/testkit/..."}, // judged as tests are

	{name: "governance"},
	{name: "governance/rules", may: []string{"governance/..."}},
	{name: "governance/*", may: []string{"governance"}},

	{name: "messageserver/internal/router/...", may: []string{
		"proto/*", "governance",
		"governance/balance", "governance/health", "governance/breaker", "governance/retry",
	}},
	{name: "messageserver/internal/eventlog"},
	{name: "messageserver/internal/session/...", may: []string{
		"proto/*", "internal/frameconn", "internal/scram", "governance", "messageserver/internal/router",
		"messageserver/internal/eventlog",
	}},
	{name: "messageserver/internal/peer/registry", may: []string{"proto/*", "messageserver/internal/router"}},
	{name: "messageserver/internal/peer/...", may: []string{
		"proto/*", "internal/frameconn", "internal/scram", "messageserver/internal/router", "messageserver/internal/eventlog",
	}},
	{name: "messageserver/internal/reach/...", may: []string{
		"proto/*", "governance", "messageserver/internal/router",
	}},
	{name: "messageserver/internal/identity/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/ids/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/stats/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/calllog/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/alarm/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/audit/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/quota/...", may: []string{"proto/*", "governance", "governance/quota", "governance/ratelimit"}},
	{name: "messageserver/internal/discovery/...", may: []string{"proto/*", "governance"}},
	{name: "messageserver/internal/rulestore/...", may: []string{"proto/*", "governance", "governance/rules"}},
	{name: "messageserver/internal/admin/...", may: []string{
		"governance", "governance/rules", "messageserver/internal/router",
		// Their data is what the API shows: a copy of each type would be noise.
		"messageserver/internal/rulestore", "messageserver/internal/stats", "messageserver/internal/alarm",
		"messageserver/internal/audit", "messageserver/internal/quota",
	}},
	{name: "messageserver",
		may:   []string{"messageserver/internal/...", "proto/*", "governance", "governance/*", "internal/frameconn"},
		never: []string{"governance/rules"}}, // the rulestore compiles rules; the node hands them on

	{name: "rpcserver-sdk/...",
		may:   []string{"proto/*", "internal/frameconn", "internal/caller", "governance", "governance/*"},
		never: []string{"governance/rules"}}, // session flattens a module's rules into pb.Policy
	{name: "rpcclient-sdk/...",
		may:   []string{"proto/*", "internal/frameconn", "internal/caller", "governance", "governance/*"},
		never: []string{"governance/rules"}},

	{name: "idmaker/block"},
	{name: "idmaker", may: []string{"idmaker/block", "rpcserver-sdk"}},

	{name: "cmd/twohop/...", may: []string{
		"messageserver", "idmaker", "rpcserver-sdk", "rpcclient-sdk", "governance/rules",
	}},

	{name: "tests/..."}, // judged as tests are
}

// exception is an arrow that the house does not have, with the reason that outweighs it. One that is no longer needed
// fails the test.
type exception struct{ from, to, why string }

var exceptions = []exception{}

// limit keeps other people's packages out of a room's non-test code.
type limit struct {
	rooms   []string
	never   []string // import paths, as patterns, or thirdParty
	allowed []string // taken out of never
	why     string
}

// confinement keeps a package's non-test code to some names of another one.
type confinement struct {
	in, of string
	names  []string
	why    string
}

var confinements = []confinement{
	{
		in: "messageserver/internal/peer/inbound", of: "messageserver/internal/router",
		names: []string{"Local", "Call", "Batch", "Answer"},
		why:   "what a peer's frame does must have no way to a link: a call crosses two nodes and never three",
	},
}

// thirdParty stands in limit.never for everything that is neither ours nor the standard library's.
const thirdParty = "third party"

func (l limit) forbids(imported string) bool {
	if matchesAny(l.allowed, imported) {
		return false
	}
	host, _, _ := strings.Cut(imported, "/")
	_, ours := ourPath(imported)
	return matchesAny(l.never, imported) ||
		slices.Contains(l.never, thirdParty) && strings.Contains(host, ".") && !ours
}

var limits = []limit{
	{
		rooms:   []string{"governance/..."},
		never:   []string{"net/...", "os/...", "log/...", "syscall", thirdParty},
		allowed: []string{"net/netip", "github.com/cespare/xxhash/v2", "go.yaml.in/yaml/v3"},
		why:     "a policy is arithmetic over (now, facts, counters), and a library may hide a clock",
	},
	{
		rooms:   []string{"proto/wire"},
		never:   []string{"net/...", "os/...", "log/...", "context", thirdParty},
		allowed: []string{"google.golang.org/protobuf/..."},
		why:     "the codec is bytes in, bytes out; waiting and reporting are frameconn's",
	},
	{
		rooms: []string{"./..."},
		never: []string{"testing/...", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp/...",
			"github.com/Shopify/toxiproxy/...", "github.com/alicebob/miniredis/..."},
		why: "the tests' tools stay in test code",
	},
	{
		rooms: []string{"./..."},
		never: []string{"gopkg.in/yaml.v2", "gopkg.in/yaml.v3", "github.com/golang/protobuf/...", "github.com/pkg/errors"},
		why:   "one library per need: go.yaml.in/yaml/v3, google.golang.org/protobuf, errors",
	},
}

// graphLimits hold for everything that a program which imports the room gets with it.
var graphLimits = []limit{
	{
		rooms: []string{"rpcserver-sdk", "rpcclient-sdk"},
		never: []string{"github.com/prometheus/...", "go.opentelemetry.io/...", "github.com/spf13/viper/...",
			"github.com/spf13/cobra/...", module + "/messageserver/...", module + "/governance/rules"},
		why: "what an SDK imports becomes a dependency of every module that uses it",
	},
}

// clockless are the rooms to which time is a parameter, goroutineless those that start nothing.
var (
	clockless     = []string{"governance/...", "messageserver/internal/peer/registry"}
	goroutineless = []string{"governance/...", "proto/wire", "messageserver/internal/peer/registry"}
)

var clock = map[string][]string{
	"time":    {"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
}

func TestImportsFollowTheHouse(t *testing.T) {
	packages := loadPackages(t)
	report(t, checkArrows(house, exceptions, packages))
	report(t, checkLimits(limits, packages))
	report(t, checkPurity(packages))
	report(t, checkConfinements(confinements, packages))
}

func TestImportGraphsOfTheSDKs(t *testing.T) {
	present := map[string]bool{}
	for _, p := range loadPackages(t) {
		present[p.path] = true
	}
	for _, l := range graphLimits {
		for _, name := range l.rooms {
			if !present[name] {
				t.Logf("%s does not exist yet", name)
				continue
			}
			command := exec.Command("go", "list", "-deps", "./"+name)
			command.Dir = ".."
			out, err := command.Output()
			if err != nil {
				t.Errorf("go list -deps ./%s: %v", name, err)
				continue
			}
			report(t, checkGraph(l, name, strings.Fields(string(out))))
		}
	}
}

// TestTheDrawingIsTrue compares docs/architecture.md with the table and with what is there.
func TestTheDrawingIsTrue(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkDrawing(string(text), house, func(name string) bool {
		found, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(name)))
		return err == nil && len(found) > 0
	}))
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, problem := range problems {
		t.Error(problem)
	}
}

// checkArrows names every import between our packages that the table does not have.
func checkArrows(rooms []room, exceptions []exception, packages []*pkg) (problems []string) {
	used := make([]bool, len(exceptions))
	for i, e := range exceptions {
		if strings.TrimSpace(e.why) == "" {
			problems = append(problems, fmt.Sprintf("the exception %s → %s gives no reason", e.from, e.to))
		}
		used[i] = !slices.ContainsFunc(packages, func(p *pkg) bool { return p.path == e.from })
	}
	for _, p := range packages {
		i := slices.IndexFunc(rooms, func(r room) bool { return matches(r.name, p.path) })
		if i < 0 {
			problems = append(problems, fmt.Sprintf("%s is no room of the house: draw it in docs/architecture.md, "+
				"then give it a row in tests/arch_test.go", p.path))
			continue
		}
		for _, file := range p.files {
			file.imports(func(imported string, spec *ast.ImportSpec) {
				to, ours := ourPath(imported)
				if !ours || to == p.path {
					return
				}
				at := p.position(spec.Pos())
				if matches("tests/...", to) && !matches("tests/...", p.path) {
					problems = append(problems, fmt.Sprintf("%s: %s imports %s: nothing imports tests", at, p.path, to))
					return
				}
				if file.test || proves(p.path) || mayImport(rooms[i], to) {
					return
				}
				for j, e := range exceptions {
					if e.from == p.path && e.to == to {
						used[j] = true
						return
					}
				}
				problems = append(problems, fmt.Sprintf("%s: %s may not import %s (it may: %s): a new arrow is a design "+
					"change, drawn in docs/architecture.md first", at, p.path, to, allowance(rooms[i])))
			})
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			problems = append(problems, fmt.Sprintf("the exception %s → %s is not used: remove it", e.from, e.to))
		}
	}
	return problems
}

func mayImport(r room, to string) bool {
	if proves(to) {
		return false
	}
	if strings.HasSuffix(r.name, "/...") && matches(r.name, to) {
		return true
	}
	return matchesAny(r.may, to) && !matchesAny(r.never, to)
}

func allowance(r room) string {
	if len(r.may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(r.may, ", ")
}

// proves reports whether a package is there for tests only: such a package is judged as a test is, and no production
// code imports it. A suite that every implementation of an interface passes lives in a package named …test.
func proves(name string) bool {
	return matches("internal/testkit/...", name) || matches("tests/...", name) ||
		strings.HasSuffix(path.Base(name), "test")
}

func ourPath(imported string) (name string, ours bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// checkDrawing reads the first block of the drawing, a line per room: its folder, then "planned:" if it has no code yet.
func checkDrawing(text string, rooms []room, exists func(name string) bool) (problems []string) {
	parts := strings.SplitN(text, "\n```\n", 3)
	if len(parts) < 3 {
		return []string{"docs/architecture.md has no drawing between two lines of ```"}
	}
	drawn := map[string]bool{}
	for line := range strings.Lines(parts[1]) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		name := strings.TrimSuffix(words[0], "/")
		drawn[name] = true
		if words[1] != "planned:" && !exists(name) {
			problems = append(problems, fmt.Sprintf("docs/architecture.md draws %s, which does not exist and is not planned", name))
		}
	}
	for _, r := range rooms {
		if name := strings.TrimSuffix(r.name, "/..."); !drawn[name] {
			problems = append(problems, fmt.Sprintf("docs/architecture.md does not draw %s", name))
		}
	}
	return problems
}

// checkLimits names every import of somebody else's package that a limit forbids.
func checkLimits(limits []limit, packages []*pkg) (problems []string) {
	for _, p := range packages {
		if proves(p.path) {
			continue
		}
		for _, file := range p.files {
			if file.test {
				continue
			}
			file.imports(func(imported string, spec *ast.ImportSpec) {
				for _, l := range limits {
					if matchesAny(l.rooms, p.path) && l.forbids(imported) {
						problems = append(problems, fmt.Sprintf("%s: %s may not import %s: %s",
							p.position(spec.Pos()), p.path, imported, l.why))
					}
				}
			})
		}
	}
	return problems
}

// checkConfinements names every use of a name that a confinement does not have, and every confinement without a package.
func checkConfinements(all []confinement, packages []*pkg) (problems []string) {
	for _, c := range all {
		i := slices.IndexFunc(packages, func(p *pkg) bool { return p.path == c.in })
		if i < 0 {
			problems = append(problems, fmt.Sprintf("%s is confined, and does not exist", c.in))
			continue
		}
		for _, file := range packages[i].files {
			if file.test {
				continue
			}
			known := ""
			file.imports(func(imported string, spec *ast.ImportSpec) {
				if to, ours := ourPath(imported); ours && to == c.of {
					known = path.Base(to)
					if spec.Name != nil {
						known = spec.Name.Name
					}
				}
			})
			ast.Inspect(file.ast, func(node ast.Node) bool {
				selector, ok := node.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := selector.X.(*ast.Ident); ok && known != "" && x.Name == known && !slices.Contains(c.names, selector.Sel.Name) {
					problems = append(problems, fmt.Sprintf("%s: %s uses %s.%s: %s",
						packages[i].position(selector.Pos()), c.in, known, selector.Sel.Name, c.why))
				}
				return true
			})
		}
	}
	return problems
}

func checkGraph(l limit, name string, deps []string) (problems []string) {
	for _, dep := range deps {
		if l.forbids(dep) {
			problems = append(problems, fmt.Sprintf("%s has %s in its import graph (go list -deps ./%s): %s",
				name, dep, name, l.why))
		}
	}
	return problems
}

// checkPurity names every read of a clock and every start of a goroutine in the rooms that have neither.
func checkPurity(packages []*pkg) (problems []string) {
	for _, p := range packages {
		noClock, noGo := matchesAny(clockless, p.path), matchesAny(goroutineless, p.path)
		if !noClock && !noGo || proves(p.path) {
			continue
		}
		for _, file := range p.files {
			if file.test {
				continue
			}
			names := clockNames(file)
			ast.Inspect(file.ast, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.GoStmt:
					if noGo {
						problems = append(problems, fmt.Sprintf("%s: %s starts a goroutine; it may not",
							p.position(node.Pos()), p.path))
					}
				case *ast.SelectorExpr:
					x, ok := node.X.(*ast.Ident)
					if noClock && ok && slices.Contains(clock[names[x.Name]], node.Sel.Name) {
						problems = append(problems, fmt.Sprintf("%s: %s uses %s.%s: time is a parameter here",
							p.position(node.Pos()), p.path, names[x.Name], node.Sel.Name))
					}
				}
				return true
			})
			for name, imported := range names {
				if noClock && name == "." {
					problems = append(problems, fmt.Sprintf("%s: %s imports %s into its own scope, where nobody sees a clock",
						file.name, p.path, imported))
				}
			}
		}
	}
	return problems
}

// clockNames maps the names under which a file knows the packages with clocks to their import paths.
func clockNames(file sourceFile) map[string]string {
	names := map[string]string{}
	file.imports(func(imported string, spec *ast.ImportSpec) {
		if _, has := clock[imported]; !has {
			return
		}
		if spec.Name != nil {
			names[spec.Name.Name] = imported
		} else {
			names[imported] = imported
		}
	})
	return names
}
