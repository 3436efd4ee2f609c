package quota

import (
	"context"
	"time"
)

// ask puts a question, in parts that are not too long, and takes over the answer.
func (l *Leases) ask(ctx context.Context, q question) {
	var failure error
	for at := 0; at < len(q.limits); at += maxLimits {
		end := min(at+maxLimits, len(q.limits))
		granted, err := l.grants(ctx, q.owner, q.asked[at:end])
		if err != nil && failure == nil {
			failure = err
		}
		l.answered(q.owner, q.limits[at:end], granted)
	}
	l.mu.Lock()
	delete(l.asking, q.owner)
	was := l.silent[q.owner]
	if failure != nil {
		l.silent[q.owner] = true
	} else {
		delete(l.silent, q.owner)
	}
	l.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case failure != nil && !was:
		l.opts.Log.Warn("the owner of limits of the mesh does not grant them: this node keeps to its equal part", "node", q.owner, "error", failure)
	case failure == nil && was:
		l.opts.Log.Info("the owner of limits of the mesh grants them again", "node", q.owner)
	}
}

// grants returns the leases that the owner grants, by key.
func (l *Leases) grants(ctx context.Context, owner string, limits []asked) (map[string]granted, error) {
	body, err := encodeQuestion(l.opts.Node, limits)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err = l.opts.Ask(ctx, owner, body)
	if err != nil {
		return nil, err
	}
	return decodeAnswer(body)
}

// answered takes over what was granted; what was not has failed.
func (l *Leases) answered(owner string, limits []*held, leases map[string]granted) {
	now := l.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range limits {
		if l.held[h.limit.Key] != h || h.owner != owner {
			continue // no longer in use, or no longer the owner's
		}
		if g, ok := leases[h.limit.Key]; ok {
			h.holder.Granted(g.Rate, time.Duration(g.ValidMS)*time.Millisecond)
		} else {
			h.holder.Failed()
		}
		h.rests = false
		l.setLocked(now, h)
	}
}
