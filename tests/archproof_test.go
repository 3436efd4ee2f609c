package tests

import (
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// The checkers are proved on packages that break the rules: each must be named, and nothing else.

func TestCheckArrowsFindsForbiddenArrows(t *testing.T) {
	for _, c := range []struct {
		name, from, file, to string
		exceptions           []exception
		want                 string // a part of the only problem; "" for none
	}{
		{name: "SDK to node", from: "rpcclient-sdk", to: "messageserver", want: "may not import messageserver"},
		{name: "SDK to SDK", from: "rpcclient-sdk", to: "rpcserver-sdk", want: "may not import rpcserver-sdk"},
		{name: "SDK to rules", from: "rpcserver-sdk", to: "governance/rules", want: "may not import governance/rules"},
		{name: "SDK to policy", from: "rpcserver-sdk", to: "governance/ratelimit"},
		{name: "session to peer", from: "messageserver/internal/session", to: "messageserver/internal/peer",
			want: "may not import"},
		{name: "router to session", from: "messageserver/internal/router", to: "messageserver/internal/session",
			want: "may not import"},
		{name: "router to policy", from: "messageserver/internal/router", to: "governance/balance"},
		{name: "router to a policy of another point", from: "messageserver/internal/router", to: "governance/access",
			want: "may not import governance/access"},
		{name: "policy to policy", from: "governance/health", to: "governance/breaker", want: "may not import"},
		{name: "policy to governance", from: "governance/health", to: "governance"},
		{name: "rules to policy", from: "governance/rules", to: "governance/health"},
		{name: "governance to anything", from: "governance", to: "proto/pb", want: "(it may: nothing of ours)"},
		{name: "frameconn to wire", from: "internal/frameconn", to: "proto/wire"},
		{name: "within a room", from: "cmd/twohop", to: "cmd/twohop/demo"},
		{name: "code to testkit", from: "internal/frameconn", to: "internal/testkit", want: "may not import internal/testkit"},
		{name: "code to a suite", from: "messageserver", to: "messageserver/internal/reach/storetest",
			want: "may not import"},
		{name: "suite to testkit", from: "messageserver/internal/reach/storetest", to: "internal/testkit"},
		{name: "test to testkit", from: "internal/frameconn", file: "x_test.go", to: "internal/testkit"},
		{name: "code to tests", from: "cmd/twohop", to: "tests/cluster", want: "nothing imports tests"},
		{name: "test to tests", from: "cmd/twohop", file: "x_test.go", to: "tests/cluster", want: "nothing imports tests"},
		{name: "tests to a room", from: "tests/cluster", to: "messageserver"},
		{name: "unknown room", from: "util", to: "proto/pb", want: "util is no room of the house"},
		{name: "unknown room of the node", from: "messageserver/internal/manager", to: "proto/pb", want: "is no room"},
		{name: "exception", from: "internal/scram", to: "proto/pb",
			exceptions: []exception{{"internal/scram", "proto/pb", "made up"}}},
		{name: "exception without reason", from: "internal/scram", to: "proto/pb",
			exceptions: []exception{{"internal/scram", "proto/pb", " "}}, want: "gives no reason"},
		{name: "exception not used", from: "internal/caller", to: "proto/pb",
			exceptions: []exception{{"internal/caller", "rpcclient-sdk", "made up"}}, want: "is not used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := c.file
			if file == "" {
				file = "x.go"
			}
			p := parsePackage(t, c.from, map[string]string{
				file: "package x\n\nimport _ " + strconv.Quote(module+"/"+c.to) + "\n",
			})
			wantProblem(t, checkArrows(house, c.exceptions, []*pkg{p}), c.want)
		})
	}
}

func TestCheckDrawingFindsWhatIsNotTrue(t *testing.T) {
	exists := func(name string) bool { return name == "a" }
	rooms := []room{{name: "a/..."}}
	for _, c := range []struct{ drawing, want string }{
		{"a/   here\n\nb/   planned: later", ""},
		{"a/   here\nb/   here", "draws b, which does not exist"},
		{"b/   planned: later", "does not draw a"},
	} {
		t.Run(c.drawing, func(t *testing.T) {
			wantProblem(t, checkDrawing("# House\n\n```\n"+c.drawing+"\n```\n", rooms, exists), c.want)
		})
	}
	wantProblem(t, checkDrawing("# House\n", rooms, exists), "has no drawing")
}

func TestCheckLimitsFindsForbiddenPackages(t *testing.T) {
	for _, c := range []struct{ from, file, imported, want string }{
		{"governance", "x.go", "net", "may not import net"},
		{"governance/access", "x.go", "net/http", "may not import net/http"},
		{"governance/access", "x.go", "net/netip", ""},
		{"governance/access", "x_test.go", "os", ""},
		{"governance/rules", "x.go", "os", "may not import os"},
		{"governance/rules", "x.go", "time", ""},
		{"governance/rules", "x.go", "go.yaml.in/yaml/v3", ""},
		{"governance/retry", "x.go", "golang.org/x/time/rate", "may not import golang.org/x/time/rate"},
		{"governance/retry", "x.go", module + "/governance", ""},
		{"governance/rules", "x.go", "log/slog", "may not import log/slog"},
		{"proto/wire", "x.go", "net", "may not import net"},
		{"proto/wire", "x.go", "network", ""},
		{"proto/wire", "x.go", "log", "may not import log"},
		{"messageserver", "x.go", "testing", "may not import testing"},
		{"messageserver", "x.go", "pgregory.net/rapid", "may not import pgregory.net/rapid"},
		{"internal/testkit", "x.go", "testing", ""},
		{"internal/caller", "x.go", "gopkg.in/yaml.v3", "one library per need"},
	} {
		t.Run(c.from+" to "+c.imported, func(t *testing.T) {
			p := parsePackage(t, c.from, map[string]string{
				c.file: "package x\n\nimport _ " + strconv.Quote(c.imported) + "\n",
			})
			wantProblem(t, checkLimits(limits, []*pkg{p}), c.want)
		})
	}
}

func TestCheckGraphFindsForbiddenPackages(t *testing.T) {
	l := graphLimits[0]
	wantProblem(t, checkGraph(l, "rpcclient-sdk", []string{"net", module + "/proto/wire"}), "")
	wantProblem(t, checkGraph(l, "rpcclient-sdk", []string{"net", "go.opentelemetry.io/otel/sdk"}),
		"has go.opentelemetry.io/otel/sdk in its import graph")
}

func TestCheckPurityFindsClocksAndGoroutines(t *testing.T) {
	for _, c := range []struct{ name, from, source, want string }{
		{"clock", "governance/x", "package x\nimport \"time\"\nvar t = time.Now()\n", "x.go:3: governance/x uses time.Now"},
		{"clock as a value", "governance/x", "package x\nimport \"time\"\nvar t = time.Since\n", "uses time.Since"},
		{"clock by another name", "governance/x", "package x\nimport t \"time\"\nvar n = t.NewTimer(1)\n", "uses time.NewTimer"},
		{"clock without a name", "governance/x", "package x\nimport . \"time\"\nvar n = Now()\n", "into its own scope"},
		{"a method of the same name", "governance/x", "package x\nimport \"time\"\nfunc f(a, b time.Time) bool { return a.After(b) }\n", ""},
		{"a duration", "governance/x", "package x\nimport \"time\"\nconst d = time.Second\n", ""},
		{"goroutine", "governance/x", "package x\nfunc f() { go f() }\n", "starts a goroutine"},
		{"goroutine of the codec", "proto/wire", "package x\nfunc f() { func() { go f() }() }\n", "starts a goroutine"},
		{"clock elsewhere", "internal/frameconn", "package x\nimport \"time\"\nvar t = time.Now()\nfunc f() { go f() }\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parsePackage(t, c.from, map[string]string{"x.go": c.source})
			wantProblem(t, checkPurity([]*pkg{p}), c.want)
		})
	}
}

func TestIgnoredFilesBelongToNoPackage(t *testing.T) {
	for source, want := range map[string]bool{
		"//go:build ignore\n\npackage main\n":         true,
		"//go:build linux\n\npackage x\n":             false,
		"//go:build linux && ignore\n\npackage x\n":   true,
		"// Package x says //go:build.\npackage x\n":  false,
		"package x\n\n//go:build ignore\nfunc f() {}": false,
	} {
		_, ignored, err := parseSource(token.NewFileSet(), "x.go", []byte(source))
		if err != nil || ignored != want {
			t.Errorf("parseSource(%q): ignored %v, err %v, want %v", source, ignored, err, want)
		}
	}
}

// wantProblem wants exactly one problem that contains part, or none where part is empty.
func wantProblem(t *testing.T, problems []string, part string) {
	t.Helper()
	switch {
	case part == "" && len(problems) > 0:
		t.Errorf("got %q, want no problem", problems)
	case part != "" && (len(problems) != 1 || !strings.Contains(problems[0], part)):
		t.Errorf("got %q, want one problem that contains %q", problems, part)
	}
}
