package governance

import (
	"slices"
	"testing"
	"time"
)

// witness is a policy that answers as it was told to and writes down what it hears.
type witness struct {
	name    string
	verdict Verdict
	heard   *[]string
}

func (w witness) Admit(time.Duration, *Call) Verdict {
	*w.heard = append(*w.heard, w.name+" admit")
	return w.verdict
}

func (w witness) Settle(_ time.Duration, _ *Call, o Outcome) {
	*w.heard = append(*w.heard, w.name+" "+o.String())
}

func TestChain(t *testing.T) {
	refusal := Verdict{Code: 22, RuleID: "r", RuleVersion: 3, RetryAfter: time.Second}
	short := Verdict{Wait: time.Millisecond, RuleID: "short"}
	long := Verdict{Wait: time.Second, RuleID: "long"}
	for _, c := range []struct {
		name     string
		verdicts []Verdict
		want     Verdict
		heard    []string // and after Succeeded, if it was admitted
	}{
		{"empty", nil, Verdict{}, nil},
		{"all admit", []Verdict{{}, {}}, Verdict{}, []string{"a admit", "b admit", "b succeeded", "a succeeded"}},
		{"the last refuses", []Verdict{{}, {}, refusal}, refusal, []string{"a admit", "b admit", "c admit", "b local", "a local"}},
		{"the first refuses", []Verdict{refusal, {}}, refusal, []string{"a admit"}},
		{"the first refusal is named", []Verdict{{Code: 14}, refusal}, Verdict{Code: 14}, []string{"a admit"}},
		{"the longest wait", []Verdict{short, long, {}}, long, []string{"a admit", "b admit", "c admit", "c succeeded", "b succeeded", "a succeeded"}},
		{"the longest wait comes first", []Verdict{long, short}, long, []string{"a admit", "b admit", "b succeeded", "a succeeded"}},
		{"a refusal after a wait", []Verdict{long, refusal}, refusal, []string{"a admit", "b admit", "a local"}},
	} {
		var heard []string
		var chain Chain
		for i, v := range c.verdicts {
			chain = append(chain, witness{string(rune('a' + i)), v, &heard})
		}
		got := chain.Admit(0, &Call{})
		if got.Admitted() {
			chain.Settle(0, &Call{}, Succeeded)
		}
		if got.Code != c.want.Code || got.RuleID != c.want.RuleID || got.Wait != c.want.Wait || got.RetryAfter != c.want.RetryAfter {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if !slices.Equal(heard, c.heard) {
			t.Errorf("%s: heard %q, want %q", c.name, heard, c.heard)
		}
	}
}

func TestAChainDoesNotAllocate(t *testing.T) {
	quiet := Chain{nothing{}, nothing{}, nothing{}}
	call := &Call{}
	if n := testing.AllocsPerRun(100, func() {
		quiet.Admit(0, call)
		quiet.Settle(0, call, Succeeded)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// nothing is a policy that admits.
type nothing struct{}

func (nothing) Admit(time.Duration, *Call) Verdict   { return Verdict{} }
func (nothing) Settle(time.Duration, *Call, Outcome) {}
