package demo

import (
	"os"
	"strings"
	"testing"
)

func TestLedgerGoesOnAfterAKill(t *testing.T) {
	path := ledgerPath(t.TempDir(), "x-1")
	r := reader{path: path}
	var got []string
	read := func() string {
		t.Helper()
		got = nil
		if err := r.read(func(r *record) { got = append(got, r.Key.String()) }); err != nil {
			t.Fatal(err)
		}
		return strings.Join(got, " ")
	}
	if read() != "" {
		t.Errorf("a ledger that is not there has %q", got)
	}
	write := func(sequence uint64) {
		t.Helper()
		l, err := openLedger(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		if err := l.append(record{Kind: kindStart, Key: newKey(1, sequence)}); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	if read() != "1-1" {
		t.Errorf("read %q, want 1-1", got)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A process was killed within its second write.
	if err := os.WriteFile(path, append(text, text[:len(text)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if read() != "" || r.torn != 0 {
		t.Errorf("read %q from half a record, which may still grow", got)
	}
	write(3)
	write(4)
	if read() != "1-3 1-4" || r.torn != 1 {
		t.Errorf("read %q with %d torn, want 1-3 1-4 with 1", got, r.torn)
	}
	r.finish()
	if r.torn != 1 {
		t.Errorf("%d torn at the end, want 1", r.torn)
	}
}

func TestKeyKeepsItsText(t *testing.T) {
	for _, k := range []key{newKey(1, 1), newKey(2, 1<<sequenceBits-1), newKey(1<<23, 0)} {
		var back key
		if err := back.UnmarshalText([]byte(k.String())); err != nil || back != k {
			t.Errorf("%s is read as %s: %v", k, back, err)
		}
	}
	for _, text := range []string{"", "1", "-", "1-", "-1", "1-2-3", "x-1", "1-99999999999999"} {
		var k key
		if k.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is read as %s", text, k)
		}
	}
}
