package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/governance/rules"
)

const maxDocument = 10 << 20 // bytes, as nodes have it

// markLine begins the first line of a document that `rules get` has written. The version behind it is the one that the document is made
// from, unless --from says another one. Nodes do not get the line.
const markLine = "# twohop rules version "

// rulesFile is a document of rules as somebody has written it.
type rulesFile struct {
	place   string            // how its problems name it
	text    []byte            // without the line of its version
	skipped int               // lines of the file before text
	from    *adminclient.Mark // which version it was made from; nil: nobody has said it
}

// readDocument reads a document of rules; - is stdin.
func readDocument(file string, stdin io.Reader) (*rulesFile, error) {
	d, from := &rulesFile{place: file}, stdin
	if file == "-" {
		d.place = "stdin"
	} else {
		f, err := os.Open(file) //nolint:gosec // the user names it
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	const most = maxDocument + len(markLine) + 64 // 64: a version has fewer bytes
	text, err := io.ReadAll(io.LimitReader(from, int64(most)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.place, err)
	}
	if first, rest, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(first, []byte(markLine)) {
		mark, err := adminclient.ParseMark(strings.TrimSpace(string(first[len(markLine):])))
		if err != nil {
			return nil, fmt.Errorf("%s:1:%d: %w; without this line it is made from the version that is there", d.place, len(markLine)+1, err)
		}
		d.from, d.skipped, text = &mark, 1, rest
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("%s: it has more than %d bytes, and nodes take no more", d.place, maxDocument)
	}
	d.text = text
	return d, nil
}

// placed gives problems of the text the lines that they have in the file.
func (d *rulesFile) placed(problems []rules.Problem) []rules.Problem {
	for i := range problems {
		problems[i].Line += d.skipped
	}
	return problems
}

// judged is placed for all that a node says of the document.
func (d *rulesFile) judged(j *adminclient.Judged) {
	j.Problems, j.Warnings = d.placed(j.Problems), d.placed(j.Warnings)
}
