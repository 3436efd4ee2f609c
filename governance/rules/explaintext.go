package rules

import (
	"fmt"
	"strings"
)

// String explains it in lines, with the numbers of status codes.
func (e Explanation) String() string { return e.Text(nil) }

// Text explains it in lines. It names status codes as codeName does, by their numbers where that is nil or has no name.
func (e Explanation) Text(codeName func(code uint16) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s → %s.%s", orDefault(e.Caller, "(nobody)"), e.Module, e.Method)
	if e.Group != "" {
		fmt.Fprintf(&b, ", group %s", e.Group)
	}
	fmt.Fprintf(&b, ", by rules %d.%d: %s\n", e.Mark.Epoch, e.Mark.Version, e.conclusion(codeName))
	for _, w := range e.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", w)
	}
	for i := range e.Rules {
		f := &e.Rules[i]
		fmt.Fprintf(&b, "  %s, line %d, %s (%s): %s\n", f.ID, f.Line, f.Kind, f.Scope, f.text())
	}
	for _, s := range e.Settings {
		fmt.Fprintf(&b, "  %s = %s, from %s, line %d\n", s.Key, s.Value, s.Rule, s.Line)
	}
	return b.String()
}

// conclusion says what becomes of the call, as far as a node can say it.
func (e Explanation) conclusion(codeName func(code uint16) string) string {
	if e.Decided != "" {
		code := ""
		if codeName != nil {
			code = codeName(e.Code)
		}
		if code == "" {
			code = fmt.Sprintf("code %d", e.Code)
		}
		return fmt.Sprintf("refused by %s with %s", e.Decided, code)
	}
	var shares, passwords, servers []string
	for i := range e.Rules {
		switch f := &e.Rules[i]; {
		case f.Shadow || f.Over || f.Lifted != "":
		case f.Refuses == RefusesShare:
			shares = append(shares, f.ID)
		case f.Kind == KindPassword:
			passwords = append(passwords, f.ID)
		case f.Refuses == RefusesServer:
			servers = append(servers, f.ID)
		}
	}
	var but []string
	for _, part := range []struct {
		by   []string
		text string
	}{
		{shares, "%s refuses a share of such calls"},
		{passwords, "without a digest by its password %s refuses it next to the handler"},
		{servers, "%s may refuse it next to the handler"},
	} {
		if len(part.by) > 0 {
			but = append(but, fmt.Sprintf(part.text, strings.Join(part.by, " or ")))
		}
	}
	if len(but) == 0 {
		return "admitted"
	}
	return "admitted by the node, but " + strings.Join(but, ", and ")
}

// text says what one rule does about the call: only one that is in force refuses it.
func (f *Finding) text() string {
	const ended, shadow = "has ended", "in shadow"
	text := f.Why
	switch {
	case f.Over && text != ended:
		text = ended + "; until then: " + text
	case f.Refuses == RefusesYes && (f.Shadow || f.Lifted != ""):
		text += ": would refuse"
	case f.Refuses == RefusesYes:
		text += ": refuses"
	}
	if f.Shadow && !strings.Contains(text, shadow) {
		text += "; " + shadow
	}
	if f.Lifted != "" {
		text += "; lifted by " + f.Lifted
	}
	return text
}
