package demo

import (
	"fmt"
	"path/filepath"
	"slices"
)

// books are all ledgers, read while they grow. One goroutine uses them.
type books struct {
	send *account // of fishtrade.SendRocket
	rank *account // of rank.Add

	pages   []*page
	micros  []uint32 // of every end of SendRocket, in the order of reading
	sorted  []uint32 // scratch of quantiles
	strange int      // records that stand in a ledger that has none of their kind
}

// page is the ledger of one process.
type page struct {
	reader
	name          string // of the process
	module        string
	started, done int
	told          map[class]int // of ends
}

func newBooks() *books {
	return &books{send: newAccount("fishtrade.SendRocket", "moved"), rank: newAccount("rank.Add", "added")}
}

// ledgerPath returns where a process has its ledger.
func ledgerPath(directory, name string) string { return filepath.Join(directory, name+".jsonl") }

// open adds the ledger of a process.
func (b *books) open(directory, name, module string) {
	b.pages = append(b.pages, &page{
		reader: reader{path: ledgerPath(directory, name)}, name: name, module: module, told: map[class]int{},
	})
}

// read takes what has been added to the ledgers since.
func (b *books) read() error {
	for _, p := range b.pages {
		if err := p.read(func(r *record) { b.note(p, r) }); err != nil {
			return err
		}
	}
	return nil
}

// note takes one record: who wrote it says which call it is about.
func (b *books) note(p *page, r *record) {
	switch r.Kind {
	case kindStart:
		p.started++
	case kindMoved, kindAdded:
		p.done++
	case kindEnd:
		p.told[r.Class]++
	}
	calls := r.Kind == kindInvoke || r.Kind == kindEnd
	switch {
	case p.module == moduleWeb && calls:
		b.send.note(r)
		if r.Kind == kindEnd {
			b.micros = append(b.micros, uint32(min(r.Micros, 1<<32-1)))
		}
	case p.module == moduleTrade && (r.Kind == kindStart || r.Kind == kindMoved):
		b.send.note(r)
	case p.module == moduleTrade && calls, p.module == moduleRank && (r.Kind == kindStart || r.Kind == kindAdded):
		b.rank.note(r)
	default:
		b.strange++
	}
}

// torn returns how many records were cut off.
func (b *books) torn() int {
	n := 0
	for _, p := range b.pages {
		n += p.torn
	}
	return n
}

// quantiles returns the exact median and the 99th percentile, in µs, of the last n ends; n ≤ 0: of all.
func (b *books) quantiles(n int) (p50, p99 uint32) {
	last := b.micros
	if n > 0 && len(last) > n {
		last = last[len(last)-n:]
	}
	if len(last) == 0 {
		return 0, 0
	}
	b.sorted = append(b.sorted[:0], last...)
	slices.Sort(b.sorted)
	// The nearest rank: the least value that this share of all values does not exceed.
	rank := func(percent int) uint32 { return b.sorted[(len(b.sorted)*percent+99)/100-1] }
	return rank(50), rank(99)
}

// sides returns every record of a key, for people: whose, and what it says.
func (b *books) sides(k key) ([]string, error) {
	var lines []string
	for _, p := range b.pages {
		again := reader{path: p.path}
		err := again.read(func(r *record) {
			if r.Key == k {
				lines = append(lines, fmt.Sprintf("%-12s %s", p.name, r))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}
