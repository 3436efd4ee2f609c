package alarm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	seen := func(node, fingerprint string, from, to int, over bool) Alarm {
		a := Alarm{
			Kind: NodeDead, Subject: fingerprint, Severity: Warning, Text: "as " + node + " sees it", Fingerprint: fingerprint, Node: node, Reporters: append(make([]string, 0, 4), node),
			Since: noon.Add(time.Duration(from) * time.Second), LastSeen: noon.Add(time.Duration(to) * time.Second), Count: from%3 + 1,
		}
		if over {
			a.Ended = a.LastSeen
		}
		return a
	}
	critical := seen("c", "x", 3, 90, false)
	critical.Severity = Critical
	lists := [][]Alarm{
		{seen("a", "x", 0, 100, false), seen("a", "y", 0, 10, true), seen("a", "z", 0, 10, true)},
		{seen("b", "x", 5, 50, true), seen("b", "y", 15, 30, true), seen("b", "z", 60, 70, true)},
		{critical, seen("c", "w", 200, 210, false)},
		nil,
	}
	var got []string
	for _, a := range Merge(lists...) {
		ended := "lasts"
		if !a.Lasts() {
			ended = fmt.Sprint(a.Ended.Sub(noon).Seconds())
		}
		got = append(got, fmt.Sprintf("%s %v %v %v–%s %s %d", a.Subject, a.Reporters, a.Severity, a.Since.Sub(noon).Seconds(), ended, a.Text, a.Count))
	}
	want := []string{
		"x [a b c] critical 0–lasts as a sees it 3",
		"w [c] warning 200–lasts as c sees it 3",
		"z [b] warning 60–70 as b sees it 1",
		"y [a b] warning 0–30 as b sees it 1",
		"z [a] warning 0–10 as a sees it 1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if reporters := lists[0][0].Reporters; fmt.Sprint(reporters[:cap(reporters)]) != "[a   ]" {
		t.Error("the lists were changed")
	}
	if list := Merge(); list == nil || len(list) != 0 {
		t.Error("nothing is an empty list:", list)
	}
}
