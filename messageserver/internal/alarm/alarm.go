package alarm

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

// Severity says how soon somebody must look.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"  // in working hours
	Critical Severity = "critical" // now
)

// Alarm is one condition that an operator must hear of.
//
// A Source sets Kind, Subject, Text, and, where it knows better than the table of kinds and the time of the look, Severity and
// Since; the other fields are set here.
type Alarm struct {
	Kind     string   `json:"kind"`    // one of Kinds
	Subject  string   `json:"subject"` // what it is about: a node, a module, a rule
	Severity Severity `json:"severity"`
	Text     string   `json:"text"` // what is the matter, with numbers; it may change while the alarm lasts

	// Labels tell alarms of the same kind and subject apart, and so must not change while the alarm lasts. Names have letters,
	// digits and _; others are replaced.
	Labels map[string]string `json:"labels,omitempty"`

	Since    time.Time `json:"since"`
	Ended    time.Time `json:"ended,omitzero"` // zero while it lasts
	LastSeen time.Time `json:"last_seen"`
	Count    int       `json:"count"` // 1, and one more for each time that it was gone too shortly to end

	Mesh        string   `json:"mesh"`
	Node        string   `json:"node"`      // that reports it
	Reporters   []string `json:"reporters"` // all nodes that do, sorted; here it is the node alone, Merge gathers them
	Fingerprint string   `json:"fingerprint"`
}

// Source returns what holds now, as one room says it. It must not block; it is called once a look, by one goroutine.
type Source func() []Alarm

// Lasts reports whether the alarm has not ended.
func (a *Alarm) Lasts() bool { return a.Ended.IsZero() }

// reserved are labels that each alarm has in Alertmanager.
var reserved = []string{"alertname", "kind", "mesh", "node", "severity", "subject"}

// complete fills in what a source leaves out, and makes what it says fit for Alertmanager, which refuses what is not UTF-8.
func (a *Alarm) complete(node, mesh string, now time.Time) {
	kind := kindOf(a.Kind)
	if a.Severity != Warning && a.Severity != Critical {
		a.Severity = kind.Severity
	}
	if a.Since.IsZero() || a.Since.After(now) {
		a.Since = now
	}
	a.Kind, a.Subject, a.Text = valid(a.Kind), valid(a.Subject), valid(a.Text)
	if len(a.Labels) > 0 {
		labels := make(map[string]string, len(a.Labels))
		for name, value := range a.Labels {
			labels[labelName(name)] = valid(value)
		}
		a.Labels = labels
	}
	a.LastSeen, a.Ended, a.Count = now, time.Time{}, 1
	a.Node, a.Mesh, a.Reporters = node, mesh, []string{node}
	a.Fingerprint = a.fingerprint(kind.Scope)
}

// fingerprint is the first 8 bytes, in hex, of SHA-256 over kind, subject, mesh, the labels by name, and, in the scope of a
// node, its name; each with its length before it.
func (a *Alarm) fingerprint(scope Scope) string {
	buf := make([]byte, 0, 256)
	add := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	add(a.Kind)
	add(a.Subject)
	add(a.Mesh)
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		add(name)
		add(a.Labels[name])
	}
	if scope == ScopeNode {
		add("node")
		add(a.Node)
		add("")
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:8])
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// labelName makes a name that Prometheus takes, and that is none of the reserved ones.
func labelName(name string) string {
	fits := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
	if fits == "" || fits[0] >= '0' && fits[0] <= '9' || slices.Contains(reserved, fits) || strings.HasPrefix(fits, "__") {
		return "x_" + fits
	}
	return fits
}

// sortList sorts as an operator reads: what lasts, critical, and new goes first.
func sortList(list []Alarm) {
	slices.SortFunc(list, func(a, b Alarm) int {
		return cmp.Or(
			before(a.Lasts(), b.Lasts()),
			before(a.Severity == Critical, b.Severity == Critical),
			b.Since.Compare(a.Since),
			cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Fingerprint, b.Fingerprint),
		)
	})
}

// before sorts true before false.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
