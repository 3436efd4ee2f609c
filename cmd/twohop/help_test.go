package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ours are the commands whose help is written here; cobra writes that of completion and help, and nobody reads a hidden one's.
func ours(visit func(cmd *cobra.Command)) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		visit(cmd)
		if cmd.Name() == "demo" {
			return // its parts are shown by its own help
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" && !sub.Hidden {
				walk(sub)
			}
		}
	}
	walk(rootCommand())
}

func TestHelpTeaches(t *testing.T) {
	ours(func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q is not one phrase that says what it is for", path, cmd.Short)
		}
		if n := len(examples(cmd)); !cmd.HasSubCommands() && n < 2 {
			t.Errorf("%s has %d examples", path, n)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s says nothing", path, f.Name)
			}
		})
	})
}

// TestExamplesAreCommandLines: what help shows can be typed.
func TestExamplesAreCommandLines(t *testing.T) {
	ours(func(cmd *cobra.Command) {
		for _, line := range examples(cmd) {
			words := split(line)
			root := rootCommand()
			found, rest, err := root.Find(words[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil && found.Args != nil {
				err = found.Args(found, found.Flags().Args())
			}
			if err != nil {
				t.Errorf("help of %s shows %q: %v", cmd.CommandPath(), line, err)
			}
			if cmd.HasParent() && found.CommandPath() != cmd.CommandPath() {
				t.Errorf("help of %s shows %q, which is another command", cmd.CommandPath(), line)
			}
		}
	})
}

// examples returns the calls of twohop in a command's examples.
func examples(cmd *cobra.Command) (lines []string) {
	for line := range strings.Lines(cmd.Example) {
		line, _, _ = strings.Cut(line, "  #")
		if i := strings.Index(line, "twohop "); i >= 0 {
			lines = append(lines, strings.TrimSpace(line[i:]))
		}
	}
	return lines
}

var word = regexp.MustCompile(`'[^']*'|[^\s']+`)

// split does what a shell does to the examples.
func split(line string) (words []string) {
	for _, w := range word.FindAllString(line, -1) {
		if w == "&" || w == ">" {
			break
		}
		words = append(words, strings.Trim(w, "'"))
	}
	return words
}

func TestErrorsAndResultsAreKeptApart(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"messageserver", "--log-level", "loud"}, nil, &out, &errs); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if out.Len() != 0 || !strings.HasPrefix(errs.String(), "twohop: --log-level is") {
		t.Errorf("stdout %q, stderr %q", out.String(), errs.String())
	}
	errs.Reset()
	if code := run([]string{"version", "--json"}, nil, &out, &errs); code != exitOK || errs.Len() != 0 || out.Len() == 0 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}
