package rules

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"
)

// many returns a document of n rules, as people write them.
func many(n int, more string) []byte {
	var b bytes.Buffer
	b.WriteString("format: 1\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - id: rule-%d\n    module: module%d\n    method: Method\n    caller: web\n    note: \"ticket 4711\"\n    until: 2026-11-21T12:00:00Z\n"+
			"    rate: {per_second: %d, burst: 10, over: pace, max_wait: 2s}\n%s", i, i%100, i+1, more)
	}
	return b.Bytes()
}

// worst makes texts that cost as much as a text can, one at a time: what lies around would hide what parsing takes.
var worst = func() map[string]func() []byte {
	repeat := func(head, s, tail string) func() []byte {
		return func() []byte {
			return []byte(head + strings.Repeat(s, (maxText-len(head)-len(tail))/len(s)) + tail)
		}
	}
	pieces := func(n int, s string) func() []byte { // with as many marks as are taken
		return func() []byte {
			text := []byte("format: 1\nrules:\n")
			for i := range n {
				text = fmt.Appendf(text, "- id: r%d\n  callers:\n    allow: [%s]\n", i, strings.Repeat(s, 49_900))
			}
			return text
		}
	}
	texts := map[string]func() []byte{
		"more than 10 MiB":    repeat("", "a", "aaaaaaaaaaaa: b\n\n\n\n"),
		"10 MiB of a":         repeat("", "a", ""),
		"lists":               repeat("", "[", ""),
		"dashes":              repeat("", "- ", ""),
		"braces":              repeat("rules: ", "{a: ", ""),
		"questions":           repeat("", "? ", ""),
		"values in a line":    repeat("format: 1\nrules: [", "a,", "]"),
		"values in rules":     pieces(20, "a,"),
		"quoted in rules":     pieces(20, "'',"),
		"lists in rules":      pieces(20, "[],"),
		"pairs in rules":      pieces(10, "a: b,"),
		"too many in rules":   pieces(100, "a,"),
		"empty lines":         repeat("format: 1\n", "\n", "rules: []\n"),
		"comments":            repeat("format: 1\n", "#\n", "rules: []\n"),
		"items of nothing":    repeat("format: 1\nrules:\n", "-\n", ""),
		"half of a text":      repeat("format: 1\nrules:\n- id: r\n  note: \"", "a", ""),
		"a note":              repeat("format: 1\nrules:\n- id: r\n  note: |\n", "   a\n", ""),
		"spaces":              repeat("format: 1\nrules: []", " ", "\n"),
		"one key":             repeat("", "a", ": b\n"),
		"keys that are known": repeat("format: 1\nrules:\n- id: r\n", "  note: x\n", ""),
		"keys that are not":   repeat("format: 1\nrules:\n- id: r\n", "  notes: x\n", ""),
		"anchors": func() []byte {
			text := []byte("format: 1\nrules:\n  - id: &a0 r\n")
			for i := 1; i < 30; i++ {
				text = fmt.Appendf(text, "    k%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
			}
			return text
		},
	}
	lorem := strings.Repeat("lorem ipsum ", 25)
	texts["20,000 rules"] = func() []byte { return many(20_000, "") }
	texts["20,001 rules"] = func() []byte { return many(20_001, "") }
	texts["20,000 wrong rules"] = func() []byte { return many(20_000, "    modul: "+lorem+"\n") }
	texts["20,000 rules of 10 MiB"] = func() []byte { return many(20_000, "    # "+lorem+"\n") }
	return texts
}()

// TestTheWorstIsBounded: 1 s and 64 MiB. Time is that of the processor, because others use the machine, and the best of three.
func TestTheWorstIsBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("it would measure the race detector")
	}
	const slow = time.Second
	for name, text := range worst {
		t.Run(name, func(t *testing.T) {
			text := text()
			best := time.Hour
			for range 3 {
				before := processorTime(t)
				_, err := Parse(text)
				best = min(best, processorTime(t)-before)
				if strings.HasPrefix(name, "20,000 rules") != (err == nil) {
					t.Fatalf("error: %.300v", err)
				}
				if wrong := (*Invalid)(nil); errors.As(err, &wrong) && (len(wrong.Problems) > maxProblems || len(err.Error()) > 100_000) {
					t.Fatalf("%d problems, %d bytes", len(wrong.Problems), len(err.Error()))
				}
				if best < slow {
					break
				}
			}
			if best > slow {
				t.Errorf("took %v of a processor, want at most %v", best, slow)
			}
			if peak := peakOf(func() { _, _ = Parse(text) }); peak > 64<<20 {
				t.Errorf("took %d MiB beside the text, want at most 64", peak>>20)
			} else {
				t.Logf("%d KiB: %v, %d MiB", len(text)>>10, best, peak>>20)
			}
		})
	}
}

func TestWhatIsTooLargeIsSaid(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"format: 1\nrules: []\n#" + strings.Repeat("a", maxText-21) + "\n", "line 1, column 1: the document has 10485761 bytes, must have at most 10485760"},
		{"format: 1\nrules:\n- id: a\n  off: {}\n- id: r\n  note: " + strings.Repeat("a", maxPiece) + "\n",
			"line 5, column 1: the rule has 524305 bytes, must have at most 524288"},
		{"format: 1\nrules:\n- id: r\n  callers: {allow: [" + strings.Repeat("a,", 60_000) + "]}\n",
			"line 3, column 1: the rule has 60008 of the characters , [ { : - ? # and line ends, must have at most 50000"},
		{"format: 1\nrules: [" + strings.Repeat("a,", maxPiece/2) + "]\n",
			"line 1, column 1: what is above the rules (write each rule on lines of its own, that begin with - ) has 524308 bytes, must have at most 524288"},
		{strings.Repeat("\n", maxAll) + "format: 1\nrules:\n" + strings.Repeat("# a\n", 10), "line 1, column 1: what is above the rules (write each rule " +
			"on lines of its own, that begin with - ) has 1000057 bytes, must have at most 524288\nline 1, column 1: the document has 1000024 of the characters , [ { : - ? # and line ends, must have at most 1000000"},
		{string(many(maxRules+1, "")), "line 140003, column 1: there are more than 20000 rules"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakOf returns the most that f has on the heap above what was there, seen as often as the processor lets.
func peakOf(f func()) uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before, peak := read(), uint64(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		if held := read(); held > before {
			peak = max(peak, held-before)
		}
		select {
		case <-done:
			return peak
		default:
			runtime.Gosched()
		}
	}
}
