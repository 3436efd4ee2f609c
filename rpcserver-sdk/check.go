package rpcserver

import (
	"errors"
	"fmt"
)

// ConsistencyCheck compares what the server counts with what it holds. It may be called at any time.
func (s *Server) ConsistencyCheck() error {
	if s.client == nil {
		return nil
	}
	return errors.Join(s.queue.check(), s.client.ConsistencyCheck())
}

func (q *queue) check() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	waiting, busy := 0, 0
	for range q.allLocked {
		waiting++
	}
	heads := map[*task]bool{}
	for t := q.ready.first; t != nil; t = t.next {
		heads[t] = true
	}
	for w := range q.workers {
		if w.task != nil {
			busy++
			heads[w.task] = true
		}
	}
	if waiting != q.waiting || busy != q.busy {
		errs = append(errs, fmt.Errorf("rpcserver: the queue counts %d that wait and %d that run, there are %d and %d",
			q.waiting, q.busy, waiting, busy))
	}
	if len(q.workers) > q.concurrency || len(q.idle)+busy > len(q.workers) {
		errs = append(errs, fmt.Errorf("rpcserver: %d workers, %d idle and %d busy, of at most %d",
			len(q.workers), len(q.idle), busy, q.concurrency))
	}
	for k, c := range q.chains {
		if !heads[c.head] {
			errs = append(errs, fmt.Errorf("rpcserver: calls of %s with key %q wait for one that neither is ready nor runs", k.method.name, k.key))
		}
	}
	return errors.Join(errs...)
}
