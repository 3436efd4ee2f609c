package alarm

import (
	"cmp"
	"slices"
	"time"
)

// together is by how much the clocks of two nodes, and their looks, may differ for what they saw one after the other to be one
// alarm.
const together = 10 * time.Second

// Merge makes one list of several nodes' lists: what has the same fingerprint at the same time is one alarm with all its
// Reporters. It lasts while it lasts for one of them; severity, text and node are those of the last one that saw it, but it is
// critical if it is that for one. The lists are left alone.
func Merge(lists ...[]Alarm) []Alarm {
	by := make(map[string][]Alarm)
	for _, list := range lists {
		for _, one := range list {
			by[one.Fingerprint] = append(by[one.Fingerprint], one)
		}
	}
	merged := make([]Alarm, 0, len(by))
	for _, same := range by {
		slices.SortFunc(same, func(a, b Alarm) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Node, b.Node)) })
		last := same[0]
		last.Reporters = slices.Clone(last.Reporters)
		for _, one := range same[1:] {
			if !last.Lasts() && one.Since.Sub(last.Ended) > together {
				merged = append(merged, tidied(last))
				last = one
				last.Reporters = slices.Clone(last.Reporters)
				continue
			}
			last = joined(last, one)
		}
		merged = append(merged, tidied(last))
	}
	sortList(merged)
	return merged
}

// joined makes one of two. a began first, and its Reporters may be written to.
func joined(a, b Alarm) Alarm {
	a.Reporters = append(a.Reporters, b.Reporters...)
	a.Count = max(a.Count, b.Count)
	switch {
	case !a.Lasts() && b.Lasts():
		a.Ended = time.Time{}
	case !b.Lasts() && a.Lasts():
	case b.Ended.After(a.Ended):
		a.Ended = b.Ended
	}
	if b.LastSeen.After(a.LastSeen) {
		a.LastSeen, a.Text, a.Node = b.LastSeen, b.Text, b.Node
	}
	if b.Severity == Critical {
		a.Severity = Critical
	}
	return a
}

func tidied(a Alarm) Alarm {
	slices.Sort(a.Reporters)
	a.Reporters = slices.Compact(a.Reporters)
	return a
}
