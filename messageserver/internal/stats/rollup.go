package stats

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// record is what one subject has counted in one minute or hour.
type record struct {
	name name
	*sums
}

// A rollup is stored as gzip of: version (a byte) | records (uvarint) | each record, sorted by caller, module, method:
//
//	caller, module, method   uvarint length and bytes each
//	entered, started, sum of times (µs), peak   uvarint each
//	codes   uvarint, then code (a byte) and count (uvarint) each
//	buckets   uvarint, then index (a byte) and count (uvarint) each
const rollupVersion = 1

// maxRollup bounds a rollup in memory, so that a broken file cannot ask for all there is: ten times what 11,000 subjects with the
// longest names and every code and bucket would take.
const maxRollup = 256 << 20

// encode returns the stored form of records, which it sorts.
func encode(records []record) []byte {
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(strings.Compare(a.name.caller, b.name.caller), strings.Compare(a.name.module, b.name.module),
			strings.Compare(a.name.method, b.name.method))
	})
	plain := []byte{rollupVersion}
	plain = binary.AppendUvarint(plain, uint64(len(records)))
	for _, r := range records {
		for _, text := range []string{r.name.caller, r.name.module, r.name.method} {
			plain = append(binary.AppendUvarint(plain, uint64(len(text))), text...)
		}
		for _, n := range []uint64{r.entered, r.started, r.sumUS, r.peak} {
			plain = binary.AppendUvarint(plain, n)
		}
		plain = binary.AppendUvarint(plain, uint64(len(r.codes)))
		for _, c := range r.codes {
			plain = binary.AppendUvarint(append(plain, c.code), c.count)
		}
		plain = binary.AppendUvarint(plain, uint64(len(r.times)))
		for _, t := range r.times {
			plain = binary.AppendUvarint(append(plain, t.Index), t.Count)
		}
	}
	return squeeze(plain)
}

// squeeze returns bytes as gzip.
func squeeze(plain []byte) []byte {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level is one that there is
	_, err := z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err) // memory does not fail
	}
	return packed.Bytes()
}

// decode calls visit for each record of a stored rollup. The record is the receiver's.
func decode(stored []byte, visit func(record)) error {
	z, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return fmt.Errorf("a rollup is broken: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxRollup+1))
	if err != nil {
		return fmt.Errorf("a rollup is broken: %w", err)
	}
	if len(plain) > maxRollup || len(plain) == 0 {
		return fmt.Errorf("a rollup is broken: it has %d bytes", len(plain))
	}
	if plain[0] != rollupVersion {
		return fmt.Errorf("a rollup has version %d, this program reads %d: a newer one has written it", plain[0], rollupVersion)
	}
	r := reader{rest: plain[1:], names: make(map[string]string)}
	for n := r.number(); n > 0 && !r.broken; n-- {
		one := record{name{r.text(), r.text(), r.text()}, new(sums)}
		one.entered, one.started, one.sumUS, one.peak = r.number(), r.number(), r.number(), r.number()
		one.codes = make(codeCounts, r.count(uint64(maxCodes)))
		for i := range one.codes {
			one.codes[i] = codeCount{r.index(maxCodes), r.number()}
		}
		one.times = make(Histogram, r.count(Buckets))
		for i := range one.times {
			one.times[i] = Bucket{r.index(Buckets), r.number()}
		}
		if !r.broken {
			visit(one)
		}
	}
	if r.broken || len(r.rest) > 0 {
		return errors.New("a rollup is broken: its numbers do not fit its length")
	}
	return nil
}

// reader takes a rollup apart. After the first thing that is wrong it is broken, and returns zeros.
type reader struct {
	rest   []byte
	names  map[string]string // one copy of each
	broken bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count returns a number of things, of which there are at most so many.
func (r *reader) count(most uint64) int {
	n := r.number()
	if n > most {
		r.broken, r.rest = true, nil
		return 0
	}
	return int(n)
}

// index returns a byte that is below an end.
func (r *reader) index(end uint8) uint8 {
	if len(r.rest) == 0 || r.rest[0] >= end {
		r.broken, r.rest = true, nil
		return 0
	}
	n := r.rest[0]
	r.rest = r.rest[1:]
	return n
}

func (r *reader) text() string {
	n := r.count(1 << 16)
	if n > len(r.rest) {
		r.broken, r.rest = true, nil
		return ""
	}
	text, known := r.names[string(r.rest[:n])]
	if !known {
		text = string(r.rest[:n])
		r.names[text] = text
	}
	r.rest = r.rest[n:]
	return text
}

// merge adds stored rollups up.
func merge(stored ...[]byte) ([]byte, error) {
	all := make(map[name]*tally)
	for _, one := range stored {
		err := decode(one, func(r record) {
			t := all[r.name]
			if t == nil {
				t = new(tally)
				all[r.name] = t
			}
			t.add(r.sums)
		})
		if err != nil {
			return nil, err
		}
	}
	records := make([]record, 0, len(all))
	for name, t := range all {
		records = append(records, record{name, t.sums()})
	}
	return encode(records), nil
}
