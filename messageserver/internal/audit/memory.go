package audit

import (
	"context"
	"slices"
	"sync"
)

// DefaultMemory is how many records Memory keeps if it is not told.
const DefaultMemory = 10_000

// Memory returns a Log that keeps the last n records until the process ends; n ≤ 0 is 10,000.
func Memory(n int, o Options) *Log {
	if n <= 0 {
		n = DefaultMemory
	}
	return newLog(o.withDefaults(), &memory{keeps: n}, end{})
}

type memory struct {
	// Static after construction.
	keeps int

	// Guarded by mu.
	mu    sync.Mutex
	lines [][]byte // a ring once it is full
	next  int      // where the oldest line is then
}

func (m *memory) put(text []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lines) < m.keeps {
		m.lines = append(m.lines, text)
		return nil
	}
	m.lines[m.next] = text
	m.next = (m.next + 1) % m.keeps
	return nil
}

func (m *memory) read(ctx context.Context, back bool, visit func(place, []byte) bool) error {
	m.mu.Lock()
	lines := slices.Concat(m.lines[m.next:], m.lines[:m.next])
	m.mu.Unlock()
	where := place{file: "memory"}
	for i := range lines {
		if back {
			i = len(lines) - 1 - i
		} else {
			where.line = i + 1
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !visit(where, lines[i]) {
			return nil
		}
	}
	return nil
}

func (m *memory) view(v *View) {
	v.Where, v.Keeps = "memory: lost when the process ends", m.keeps
}

func (m *memory) close() error { return nil }
