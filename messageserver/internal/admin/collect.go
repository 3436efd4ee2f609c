package admin

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// heardRow is a node that was asked.
type heardRow struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"` // why it was not heard: what it would have said is missing
	Lack  string `json:"lack,omitempty"`  // what is missing in what it has said
}

// collect asks this node, or all of them, and returns what each has said that was heard.
func collect[T any](ctx context.Context, src *Sources, everywhere bool, method string, question any, own func() T) (said []T, nodes []heardRow) {
	return collectBy(ctx, src, everywhere, own, func(ctx context.Context, node string) (T, error) {
		return ask[T](ctx, src, node, method, question)
	})
}

// collectBy is collect for what takes more than one question.
func collectBy[T any](
	ctx context.Context, src *Sources, everywhere bool, own func() T, ask func(ctx context.Context, node string) (T, error),
) (said []T, nodes []heardRow) {
	if !everywhere {
		return []T{own()}, []heardRow{{Node: src.Node}}
	}
	for _, h := range gather(ctx, src, own, ask) {
		nodes = append(nodes, heardRow{Node: h.node, Error: reason(h.err)})
		if h.err == nil {
			said = append(said, h.said)
		}
	}
	return said, nodes
}

// readLimit reads how many rows are asked for at most.
func readLimit(query url.Values, most int) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultRows, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("limit is %q, must be a number from 1 to %d", text, most)
	}
	return n, nil
}

const defaultRows = 100 // of an answer that names no limit

// readTime reads a parameter that is a time, or how long ago it was; the zero Time if it is not there.
func readTime(query url.Values, name string, now time.Time) (time.Time, error) {
	text := query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, fmt.Errorf("%s is %q, must be a time as %s, or how long ago it was, as 90m", name, text,
			now.UTC().Format(time.RFC3339))
	}
	return now.Add(-ago), nil
}
