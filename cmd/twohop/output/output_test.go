package output

import (
	"strings"
	"testing"
)

func TestTablesAreAligned(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, []string{"NAME", "N"}, [][]string{{"a", "1"}, {"", "22"}, {"l\x1b[1mong\n", "3"}}); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"NAME      N\n" +
		"a         1\n" +
		"-         22\n" +
		"l?[1mong  3\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestLinesOnlyShow(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode ✓": "plain, ünïcode ✓", "a\nb\tc": "a; b?c", "a:\r\n\n  b\n": "a:; b", "\x1b]0;x\a": "?]0;x?", "\x9b31m": "?31m", "\u202eabc": "?abc", "\xff": "?",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestBodies(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`: "{\n  \"a\": 1\n}\n", `{"n":9223372036854775807}`: "{\n  \"n\": 9223372036854775807\n}\n", "text": "text\n",
		"line\n": "line\n", "\xff\x00": "\xff\x00", "": "",
	} {
		var b strings.Builder
		if err := Body(&b, []byte(body)); err != nil || b.String() != want {
			t.Errorf("%q becomes %q, want %q: %v", body, b.String(), want, err)
		}
	}
}

func TestAgesAndBytes(t *testing.T) {
	for seconds, want := range map[float64]string{0.4: "0s", 59.9: "59s", 60: "1m", 3599: "59m", 3600: "1h", 172799: "47h", 172800: "2d"} {
		if got := Age(seconds); got != want {
			t.Errorf("%v s: %s, want %s", seconds, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
