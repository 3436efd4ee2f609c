package tests

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	prometheusFolder = "../configs/prometheus"
	dashboardFile    = "../configs/grafana/twohop.json"
)

// ruleFile is what is read of a file of rules.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []monitoringRule
	}
}

type monitoringRule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// ruleTests is what is read of a file of tests of rules.
type ruleTests struct {
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

// promtool runs Prometheus's checker in a folder.
func promtool(t *testing.T, folder string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("scripts/test installs the Debian package prometheus, which has it: ", err)
	}
	command := exec.Command("promtool", args...)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestMonitoringRules(t *testing.T) {
	promtool(t, prometheusFolder, "check", "rules", "twohop.rules.yml")
	promtool(t, prometheusFolder, "check", "config", "prometheus.yml")
	promtool(t, prometheusFolder, "test", "rules", "twohop.rules_test.yml")

	var rules ruleFile
	var tests ruleTests
	readYAML(t, filepath.Join(prometheusFolder, "twohop.rules.yml"), &rules)
	readYAML(t, filepath.Join(prometheusFolder, "twohop.rules_test.yml"), &tests)
	report(t, checkRules(rules, tests))
}

func TestMonitoringDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	exprs := dashboardExprs(dashboard)
	if len(exprs) < 20 {
		t.Errorf("the dashboard has %d expressions", len(exprs))
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for i, expr := range exprs {
		rules = append(rules, rule{fmt.Sprint("dashboard:expr_", i), withoutVariables(expr)})
	}
	file, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "dashboard.yml"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "check", "rules", "dashboard.yml")
}

// TestMonitoredMetricsExist compares the names in rules and dashboard with those in the code.
func TestMonitoredMetricsExist(t *testing.T) {
	known := exportedMetrics(loadPackages(t))
	if !known["twohop_link_up"] || len(known) < 50 {
		t.Fatalf("%d metrics are found in the code: the search is broken", len(known))
	}
	var rules ruleFile
	readYAML(t, filepath.Join(prometheusFolder, "twohop.rules.yml"), &rules)
	var exprs []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			exprs = append(exprs, rule.Expr)
			if rule.Record != "" {
				known[rule.Record] = true
			}
		}
	}
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	exprs = append(exprs, dashboardExprs(dashboard)...)
	for _, panel := range regexp.MustCompile(`label_values\(([^)]*)\)`).FindAllStringSubmatch(string(text), -1) {
		exprs = append(exprs, panel[1])
	}
	report(t, checkMetrics(exprs, known))
}

// checkRules wants words for the operator with each alert, and a case in which it fires and one in which it does not.
func checkRules(rules ruleFile, tests ruleTests) (problems []string) {
	fires, rests := make(map[string]bool), make(map[string]bool)
	for _, test := range tests.Tests {
		for _, one := range test.AlertRuleTest {
			if len(one.ExpAlerts) > 0 {
				fires[one.Alertname] = true
			} else {
				rests[one.Alertname] = true
			}
		}
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			for _, name := range []string{"summary", "description", "do"} {
				if rule.Annotations[name] == "" {
					problems = append(problems, fmt.Sprintf("alert %s has no %s", rule.Alert, name))
				}
			}
			if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
				problems = append(problems, fmt.Sprintf("alert %s has the severity %q", rule.Alert, severity))
			}
			if !fires[rule.Alert] {
				problems = append(problems, fmt.Sprintf("no case has alert %s firing", rule.Alert))
			}
			if !rests[rule.Alert] {
				problems = append(problems, fmt.Sprintf("no case has alert %s not firing", rule.Alert))
			}
		}
	}
	return problems
}

var (
	metricName = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// checkMetrics wants each metric of ours in an expression to be known. A histogram is known by its base name.
func checkMetrics(exprs []string, known map[string]bool) (problems []string) {
	used := make(map[string]bool)
	for _, expr := range exprs {
		for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
			if strings.Contains(name, "twohop_") {
				used[strings.TrimSuffix(name, "_bucket")] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			problems = append(problems, fmt.Sprintf("no code exports %s", name))
		}
	}
	return problems
}

// exportedMetrics finds the names in files that import Prometheus's client: literals that are a whole name, and what is given
// to a function desc, which puts twohop_ before it.
func exportedMetrics(packages []*pkg) map[string]bool {
	const client = "github.com/prometheus/client_golang/prometheus"
	whole := regexp.MustCompile(`^twohop_[a-z0-9_]+$`)
	found := make(map[string]bool)
	for _, p := range packages {
		for _, file := range p.files {
			if file.test || !importsPackage(file, client) {
				continue
			}
			ast.Inspect(file.ast, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.BasicLit:
					if text := literal(node); whole.MatchString(text) {
						found[text] = true
					}
				case *ast.CallExpr:
					if f, ok := node.Fun.(*ast.Ident); ok && f.Name == "desc" && len(node.Args) > 0 {
						if text := literal(node.Args[0]); text != "" {
							found["twohop_"+text] = true
						}
					}
				}
				return true
			})
		}
	}
	return found
}

// literal returns the text of a string literal, or nothing.
func literal(node ast.Expr) string {
	lit, ok := node.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// dashboardExprs returns every expr of a dashboard, however deep it lies.
func dashboardExprs(node any) (exprs []string) {
	switch node := node.(type) {
	case []any:
		for _, below := range node {
			exprs = append(exprs, dashboardExprs(below)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			if text, ok := node[name].(string); ok && name == "expr" {
				exprs = append(exprs, text)
			} else {
				exprs = append(exprs, dashboardExprs(node[name])...)
			}
		}
	}
	return exprs
}

// withoutVariables puts in what Grafana would.
func withoutVariables(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$mesh", "default", "$module", "pay").Replace(expr)
}

func TestCheckRulesFindsWhatIsMissing(t *testing.T) {
	var rules ruleFile
	var tests ruleTests
	for text, into := range map[string]any{
		`groups: [{name: g, rules: [{record: r, expr: x}, {alert: A, expr: x, labels: {severity: warning}, annotations: {summary: s, description: d, do: d}}, {alert: B}]}]`: &rules,
		`tests: [{alert_rule_test: [{alertname: A, exp_alerts: [{}]}, {alertname: A, exp_alerts: []}, {alertname: B, exp_alerts: []}]}]`:                                     &tests,
	} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"alert B has no summary", "alert B has no description", "alert B has no do", `alert B has the severity ""`, "no case has alert B firing"}
	if got := checkRules(rules, tests); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	tests.Tests[0].AlertRuleTest = tests.Tests[0].AlertRuleTest[:1]
	if got := checkRules(rules, tests); !slices.Contains(got, "no case has alert A not firing") {
		t.Errorf("got %q", got)
	}
}

func TestCheckMetricsFindsWhatIsNotThere(t *testing.T) {
	file, _, err := parseSource(token.NewFileSet(), "x/x.go", []byte(`package x
import "github.com/prometheus/client_golang/prometheus"
var a = desc("calls_total", "Calls of twohop_x.")
var b = prometheus.NewDesc("twohop_b_seconds", "", nil, nil)
`))
	if err != nil {
		t.Fatal(err)
	}
	known := exportedMetrics([]*pkg{{path: "x", files: []sourceFile{file}}})
	if len(known) != 2 || !known["twohop_calls_total"] || !known["twohop_b_seconds"] {
		t.Fatal(known)
	}
	exprs := []string{
		`rate(twohop_calls_total{kind="twohop_no"}[1m]) / twohop_b_seconds_bucket`, `mesh:twohop_calls:rate1m + twohop_later + up{job="twohop"}`,
	}
	want := []string{"no code exports mesh:twohop_calls:rate1m", "no code exports twohop_later"}
	if got := checkMetrics(exprs, known); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	exprs = dashboardExprs(map[string]any{"panels": []any{map[string]any{"targets": []any{map[string]any{"expr": "a"}}}, map[string]any{"panels": []any{map[string]any{"expr": "b"}}}}})
	if !slices.Equal(exprs, []string{"a", "b"}) {
		t.Errorf("expressions of a dashboard: %q", exprs)
	}
}

// TestEveryTroubleIsAKindOfAlarm compares the kinds of trouble that rooms report with those that the alarms have words for.
func TestEveryTroubleIsAKindOfAlarm(t *testing.T) {
	kinds := make(map[string]bool)
	reported := make(map[string]string)
	for _, p := range loadPackages(t) {
		for _, file := range p.files {
			switch file.name {
			case "messageserver/internal/alarm/kind.go":
				for _, value := range stringConstants(file.ast) {
					kinds[value] = true
				}
			case "messageserver/internal/peer/trouble.go", "messageserver/internal/rulestore/trouble.go":
				for _, value := range stringConstants(file.ast) {
					reported[value] = file.name
				}
			}
		}
	}
	if len(kinds) < 20 || len(reported) < 10 {
		t.Fatalf("%d kinds and %d troubles are found: the search is broken", len(kinds), len(reported))
	}
	for value, where := range reported {
		if !kinds[value] {
			t.Errorf("%s reports %s, and messageserver/internal/alarm/kind.go does not have it", where, value)
		}
	}
}

// stringConstants returns the values of constants that are string literals.
func stringConstants(file *ast.File) (values []string) {
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				if text := literal(value); text != "" {
					values = append(values, text)
				}
			}
		}
	}
	return values
}
