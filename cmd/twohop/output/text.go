package output

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// breaks are ends of lines, with the blank lines and the indents after them.
var breaks = regexp.MustCompile(`\s*[\r\n]\s*`)

// Line returns text of somebody else as one line that a terminal only shows: the lines of several are joined with "; ", and what
// would control the terminal becomes '?'.
func Line(text string) string {
	text = breaks.ReplaceAllLiteralString(strings.Trim(text, "\r\n"), "; ")
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// JSON writes v indented. Letters such as < stay as they are.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Body writes an answer: JSON indented, other text with a line break at its end, anything else as it is.
func Body(w io.Writer, body []byte) error {
	var pretty bytes.Buffer
	if json.Valid(body) && json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	if len(body) > 0 && utf8.Valid(body) && body[len(body)-1] != '\n' {
		body = append(slices.Clip(body), '\n')
	}
	_, err := w.Write(body)
	return err
}
