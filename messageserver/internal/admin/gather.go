package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience bounds one question to all nodes. A node that answers later was not heard.
const patience = 2 * time.Second

// heard is what one node said, or why it was not heard.
type heard[T any] struct {
	node string
	said T
	err  error
}

// gather asks all members at once, and this node itself through own. This node's answer is the first, the others follow by
// name.
func gather[T any](ctx context.Context, src *Sources, own func() T, ask func(ctx context.Context, node string) (T, error)) []heard[T] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	others := src.others()
	all := make([]heard[T], 1+len(others))
	var asking sync.WaitGroup
	for i, node := range others {
		asking.Go(func() {
			said, err := ask(ctx, node)
			if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("it did not answer within %v: %w", patience, err)
			}
			all[1+i] = heard[T]{node, said, err}
		})
	}
	all[0] = heard[T]{node: src.Node, said: own()}
	asking.Wait()
	return all
}

// others returns the names of the other members, sorted.
func (src *Sources) others() (names []string) {
	if src.Peers == nil {
		return nil
	}
	for _, m := range src.Peers.Members() {
		if m.Node != src.Node {
			names = append(names, m.Node)
		}
	}
	slices.Sort(names)
	return names
}

// unlinkedError says that a node could not even be asked.
type unlinkedError struct {
	why  string
	lost bool // the link was lost after the node was asked, which may have done it
}

func (e *unlinkedError) Error() string { return e.why }

// linked returns an error if there is no link over which a node can be asked.
func (src *Sources) linked(node string) error {
	links := src.Peers.Links()
	i := slices.IndexFunc(links, func(l Link) bool { return l.Peer == node })
	switch {
	case i < 0:
		return &unlinkedError{why: "there is no link to it"}
	case links[i].State != "up":
		return &unlinkedError{why: "the link to it is " + links[i].text(src.Peers.Troubles())}
	}
	return nil
}

// since returns for how many seconds a link has been up, or not: while it is not, it changes between waiting and connecting.
func (l *Link) since(troubles []Trouble) float64 {
	seconds := l.Seconds
	for _, t := range troubles {
		if t.Peer == l.Peer && t.Kind == "link_down" {
			seconds = max(seconds, t.Seconds)
		}
	}
	return seconds
}

// text says how a link is that is not up: its state, since when, and why.
func (l *Link) text(troubles []Trouble) string {
	text := fmt.Sprintf("%s, not up for %v", l.State, time.Duration(l.since(troubles)*float64(time.Second)).Round(100*time.Millisecond))
	if l.Cause != "" {
		text += ": " + l.Cause
	}
	return text
}

// ask calls a method of another node.
func ask[T any](ctx context.Context, src *Sources, node, method string, question any) (said T, err error) {
	if err := src.linked(node); err != nil {
		return said, err
	}
	var body []byte
	if question != nil {
		if body, err = json.Marshal(question); err != nil {
			return said, err
		}
	}
	answer, err := src.Peers.Ask(ctx, node, method, body)
	if err != nil {
		if down := src.linked(node); down != nil {
			err = &unlinkedError{why: down.Error(), lost: true}
		}
		return said, err
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return said, fmt.Errorf("its answer to _node.%s is not as this node reads it (%w): is it of another version?", method, err)
	}
	return said, nil
}

// asked returns how a node without parameters is asked by gather.
func asked[T any](src *Sources, method string) func(ctx context.Context, node string) (T, error) {
	return func(ctx context.Context, node string) (T, error) { return ask[T](ctx, src, node, method, nil) }
}

// reason is the text of an error, in one line; nil has none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
