package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// asking is what an operator's terminal shows. While the first question stands there, somebody else does something.
type asking struct {
	bytes.Buffer
	meanwhile func()
}

func (a *asking) Write(text []byte) (int, error) {
	n, err := a.Buffer.Write(text)
	if do := a.meanwhile; do != nil && strings.HasSuffix(a.String(), "[y/N] ") {
		a.meanwhile = nil
		do()
	}
	return n, err
}

// TestTwoOperators runs testdata/operators.txtar, at a node as it runs anywhere. Besides the commands of TestScripts there is
//
//	meanwhile CODE OTHERS COMMAND...  run a command at a terminal, say yes to what it asks, and before that run one of somebody
//	                                  else; the command ends with this exit code, and its stderr has what SAYS says
func TestTwoOperators(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Files:               []string{"testdata/operators.txtar"},
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready, "signal": send, "match": match,
			"meanwhile": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) < 3 {
					ts.Fatalf("usage: meanwhile CODE OTHERS COMMAND...")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				at := []string{"--admin", ts.Getenv("ADMIN")}
				var out bytes.Buffer
				errs := asking{meanwhile: func() {
					ts.Check(ts.Exec("twohop", append(strings.Fields(args[1]), at...)...))
				}}
				got := run(append(args[2:len(args):len(args)], at...), terminal(t, "y\n"), &out, &errs)
				ts.Logf("%s%s", out.String(), errs.String())
				if got != want || errs.meanwhile != nil {
					ts.Fatalf("exit code %d, want %d; asked: %t", got, want, errs.meanwhile == nil)
				}
				if says := ts.Getenv("SAYS"); !strings.Contains(errs.String(), says) {
					ts.Fatalf("it does not say %q", says)
				}
			},
		},
	})
}
