package rulestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	calendarEvery = time.Second      // how often the wall clock is read
	lookEvery     = 2 * time.Second  // how often the store is looked at without any news of it
	olderLasts    = 10 * time.Minute // how long TroubleStoreOlder is shown
)

// Run keeps the rules what they should be: it follows the store and the file, notices the ends of rules, sets the Calendar, and
// writes the cache. It returns when ctx is done, after its last write of the cache. Call it once.
func (r *Rules) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.followClock(ctx) })
	if r.o.Cache != "" {
		all.Go(func() { r.followCache(ctx) })
	}
	if r.o.Store != nil {
		all.Go(func() { r.o.Store.Watch(ctx, func() { notify(r.look) }) })
		all.Go(func() { r.followStore(ctx) })
		if r.o.File != "" {
			all.Go(func() { r.followFile(ctx) })
		}
	}
	all.Wait()
}

// followClock sets the Calendar each second, and notices the end of a rule when it comes.
func (r *Rules) followClock(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			r.setCalendar()
		case <-r.ends:
		}
		r.endRules()
		wait := calendarEvery
		if end := r.force.Load().end; end != 0 {
			wait = max(0, min(wait, time.Duration(end-r.o.Calendar.At(r.o.Now()))))
		}
		timer.Reset(wait)
	}
}

func (r *Rules) followStore(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		_ = r.Load(ctx) // it is a trouble
		select {
		case <-ctx.Done():
			return
		case <-r.look:
		case <-ticker.C:
		}
	}
}

// Load looks at the store once: what is newer there is put in force, and what is older there is written forward. Run does so by
// itself; a node calls it before it lets modules in, so that the first calls are governed. An error is a trouble, too, and the rules
// stay what they were.
func (r *Rules) Load(ctx context.Context) error {
	if r.o.Store == nil {
		return nil
	}
	there, err := glance(ctx, r.o.Store)
	if err != nil {
		return r.storeDown(ctx, err)
	}
	r.troubles.end(TroubleStoreDown)
	if there.Less(r.Current().Mark) {
		return r.forward(ctx, there)
	}
	if known, err := r.compare(there); known || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	e, err := r.o.Store.Newest(ctx)
	if err != nil {
		return r.storeDown(ctx, err)
	}
	return r.adopt(e, sourceStore)
}

// storeDown says that the store does not answer, unless it was not given the time to.
func (r *Rules) storeDown(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	r.troubles.begin(TroubleStoreDown, fmt.Sprintf("the last rules stay in force (%s), and cannot be changed: %v", r.Current(), err))
	return err
}

// forward writes what is in force into a store that is older: one that came back from a backup, that lost its last writes in a
// failover, or that is new. Nodes that do so at the same time do not get in each other's way.
func (r *Rules) forward(ctx context.Context, there Entry) error {
	e := r.Current()
	cause := fmt.Sprintf("the store had %s, and this node %s", there, e)
	intended := Record{
		Action: ActionForward, Node: r.o.Node, Author: e.Author, Reason: "the store came back older", From: there.Mark, To: e.Mark, Hash: e.Hash,
	}
	this := intent{there.Mark, e.Mark, e.Hash}
	again := r.pending(this) // it is tried every 2 s, and recorded once
	if !again {
		if err := r.record(ctx, intended); err != nil {
			err = fmt.Errorf("rulestore: nothing was written forward: it could not be recorded: %w", err)
			r.troubles.begin(TroubleStoreOlder, cause+": "+err.Error())
			return err
		}
	}
	write, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	err := r.put(write, there.Mark, e)
	conflict, isConflict := errors.AsType[*ConflictError](err)
	switch {
	case err != nil && !isConflict:
		if !again {
			r.ended(ctx, intended, result(err))
			r.setPending(this)
		}
		r.troubles.begin(TroubleStoreOlder, cause+": it could not be written forward: "+err.Error())
		return r.storeDown(write, err)
	case isConflict:
		r.ended(ctx, intended, result(err))
		r.setPending(intent{})
		notify(r.look)
		_, err := r.compare(conflict.Has)
		return err
	case again:
		r.ended(ctx, intended, "done")
		r.setPending(intent{})
	}
	r.troubles.beginFor(TroubleStoreOlder, cause+": that was written forward", olderLasts)
	return nil
}
