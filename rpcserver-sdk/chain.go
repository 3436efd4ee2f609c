package rpcserver

// chainKey is what calls of a SerialByKey method have in common that run one after another.
type chainKey struct {
	method *method
	key    string
}

// chain holds the calls of one key that wait for the one that is ready or runs.
type chain struct {
	head    *task // the one that is ready or runs
	waiting list
}

// chainLocked puts a task behind the others of its key, and reports whether it waits there.
func (q *queue) chainLocked(t *task) bool {
	if t.key == "" {
		return false
	}
	k := chainKey{t.method, t.key}
	c := q.chains[k]
	if c == nil {
		q.chains[k] = &chain{head: t}
		return false
	}
	c.waiting.push(t)
	return true
}

// unchainLocked makes the next call of the task's key ready.
func (q *queue) unchainLocked(t *task) {
	if t.key == "" {
		return
	}
	k := chainKey{t.method, t.key}
	c := q.chains[k]
	next := c.waiting.first
	if next == nil {
		delete(q.chains, k)
		return
	}
	c.waiting.remove(next)
	c.head = next
	q.ready.push(next)
}

// removeLocked takes a task out that waits.
func (q *queue) removeLocked(t *task) {
	q.waiting--
	if t.key != "" {
		if c := q.chains[chainKey{t.method, t.key}]; c.head != t {
			c.waiting.remove(t)
			return
		}
	}
	q.ready.remove(t)
	q.unchainLocked(t)
}

// allLocked yields every task that waits.
func (q *queue) allLocked(yield func(*task) bool) {
	for t := q.ready.first; t != nil; t = t.next {
		if !yield(t) {
			return
		}
	}
	for _, c := range q.chains {
		for t := c.waiting.first; t != nil; t = t.next {
			if !yield(t) {
				return
			}
		}
	}
}

// list is a list of tasks, linked through them.
type list struct{ first, last *task }

func (l *list) push(t *task) {
	t.prev, t.next = l.last, nil
	if l.last == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
}

func (l *list) remove(t *task) {
	if t.prev == nil {
		l.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}
