package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tellPatience = 4 * time.Second        // for telling all nodes a new list
	tellAgain    = 100 * time.Millisecond // a node whose link is only now made is tried again after this
)

// told is how one node took a new list.
type told struct {
	Node   string `json:"node"`
	Result string `json:"result"`          // ok, failed, not_heard
	Error  string `json:"error,omitempty"` // why it is not ok
	Role   string `json:"role"`            // stays, joins, leaves

	from  string // the hash of the list that it must have; empty: it is asked which one it has
	heard bool   // it has judged the list
	lost  bool   // it was told, and the link was lost before it answered
}

// fails reports whether the mesh is worse off for it: a node that joins or leaves need not be there.
func (t *told) fails() bool {
	return t.Result == "failed" || t.Result == "not_heard" && t.Role == "stays"
}

// change is a new list on its way to all nodes. It belongs to one request.
type change struct {
	src   *Sources
	list  []Member
	hash  string // of list
	from  string // of the list that is in force at this node, from which list was made
	force bool   // also nodes that have another one get it
	all   []told // every node of either list, sorted
	own   int    // this node's place there; -1: it has none
}

func newChange(src *Sources, old *membersAnswer, list []Member, force bool) *change {
	c := &change{src: src, list: list, hash: src.HashMembers(list), from: old.Hash, force: force, all: changes(old.Members, list)}
	c.own = slices.IndexFunc(c.all, func(t told) bool { return t.Node == src.Node })
	for i := range c.all {
		// Who joins has the list with which it was started. Who leaves need not have any that is right.
		if c.all[i].Role == "stays" && !force {
			c.all[i].from = old.Hash
		}
	}
	return c
}

// changes names every node of either list, sorted.
func changes(old, list []Member) (all []told) {
	in := func(members []Member, node string) bool {
		return slices.ContainsFunc(members, func(m Member) bool { return m.Node == node })
	}
	for _, m := range old {
		role := "stays"
		if !in(list, m.Node) {
			role = "leaves"
		}
		all = append(all, told{Node: m.Node, Role: role})
	}
	for _, m := range list {
		if !in(old, m.Node) {
			all = append(all, told{Node: m.Node, Role: "joins"})
		}
	}
	slices.SortFunc(all, func(x, y told) int { return cmp.Compare(x.Node, y.Node) })
	return slices.CompactFunc(all, func(x, y told) bool { return x.Node == y.Node })
}

// objection says that nodes refuse a list that nobody has taken.
type objection struct{ text string }

func (o *objection) Error() string { return o.text }

// canvass asks every node that stays and is linked what it says of the list. An error means that one objects. Who is not heard
// has no objection.
func (c *change) canvass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := make([]judged, len(c.all))
	var asking sync.WaitGroup
	for i := range c.all {
		t := &c.all[i]
		if i == c.own || t.Role != "stays" {
			continue
		}
		asking.Go(func() {
			var err error
			said[i], err = ask[judged](ctx, c.src, t.Node, "CheckMembers", memberList{c.list})
			t.heard = err == nil
		})
	}
	asking.Wait()
	var refusals []string
	var other error
	for i := range c.all {
		t := &c.all[i]
		switch has := said[i].Hash; {
		case !t.heard:
		case said[i].Error != "":
			refusals = append(refusals, fmt.Sprintf("node %s refuses the list, and no other has taken it: %s", t.Node, said[i].Error))
		case c.force:
			t.from = has
		case has != c.from && has != c.hash && other == nil:
			other = &OtherListError{Node: t.Node, Has: has, From: c.from}
		}
	}
	if len(refusals) > 0 {
		return &objection{strings.Join(refusals, "; ")}
	}
	return other
}

// tellAll puts the list in force at every node. Of the nodes that stay, the first by name is told before anybody else: of two
// changes that are made at the same time through two nodes, one finds the other's list there, and ends. A node that is to
// leave is told next, while it is linked; then this node takes the list, and then the rest is told. An error means that no node
// has taken it.
func (c *change) tellAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	leaves := c.own >= 0 && c.all[c.own].Role == "leaves"
	taken := false // by a node that stays
	if first := c.first(); first >= 0 && first != c.own {
		t := &c.all[first]
		c.tell(ctx, t, false)
		if t.Result == "failed" || t.lost {
			c.skip(t.Node)
			return nil
		}
		taken = t.Result == "ok"
	}
	c.tellSome(ctx, true)
	if leaves {
		c.tellSome(ctx, false)
	}
	if err := c.src.Peers.SetMembers(c.from, c.list); err != nil {
		if !taken && !leaves {
			if !slices.ContainsFunc(c.all, func(t told) bool { return t.Result == "ok" || t.Result == "failed" || t.lost }) {
				return err
			}
			defer c.skip(c.src.Node)
		}
		if c.own >= 0 {
			c.all[c.own].Result, c.all[c.own].Error = "failed", reason(err)
		}
		if !taken {
			return nil
		}
	} else if c.own >= 0 {
		c.all[c.own].Result = "ok"
	}
	if !leaves {
		c.tellSome(ctx, false)
	}
	return nil
}

// first returns who of those that stay and can be told is the first by name, or -1.
func (c *change) first() int {
	return slices.IndexFunc(c.all, func(t told) bool { return t.Role == "stays" && (t.heard || t.Node == c.src.Node) })
}

// skip notes that the others were not told, because one node has not taken the list.
func (c *change) skip(because string) {
	for i := range c.all {
		if t := &c.all[i]; t.Result == "" {
			t.Result, t.Error = "failed", "it was not told, because node "+because+" has not taken the list"
		}
	}
}

// tellSome tells those that leave, or all others that have not the list yet; not this node.
func (c *change) tellSome(ctx context.Context, leaving bool) {
	var telling sync.WaitGroup
	for i := range c.all {
		if t := &c.all[i]; i != c.own && leaving == (t.Role == "leaves") && t.Result != "ok" {
			telling.Go(func() { c.tell(ctx, t, !leaving) })
		}
	}
	telling.Wait()
}

// tell tells one node. The list may have changed its link, which is then waited for, if wait says so.
func (c *change) tell(ctx context.Context, t *told, wait bool) {
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for {
		err := c.tellOnce(ctx, t)
		if err == nil {
			t.Result, t.Error, t.lost = "ok", "", false
			return
		}
		t.Result, t.Error = "failed", reason(err)
		unlinked, is := errors.AsType[*unlinkedError](err)
		if !is {
			return
		}
		t.Result, t.lost = "not_heard", t.lost || unlinked.lost
		if !wait {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *change) tellOnce(ctx context.Context, t *told) error {
	from := t.from
	if from == "" {
		has, err := ask[judged](ctx, c.src, t.Node, "CheckMembers", memberList{c.list})
		switch {
		case err != nil:
			return err
		case has.Error != "":
			return errors.New(has.Error)
		}
		from = has.Hash
	}
	_, err := ask[membersAnswer](ctx, c.src, t.Node, "SetMembers", memberChange{c.list, from})
	return err
}
