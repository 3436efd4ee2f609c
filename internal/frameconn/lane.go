package frameconn

import (
	"slices"
	"sync"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Lane orders what waits to be written: a lower lane is served first.
type Lane uint8

// The lanes.
const (
	Control  Lane = iota // handshake, keepalive, policy, registry
	Answers              // RESPONSE
	Requests             // REQUEST, and CANCEL so that it does not overtake its request
	lanes
)

// chunkSize is what the writer takes from a lane at once, in bytes. A longer frame that is not sent in parts is a
// chunk of its own.
const chunkSize = wire.PartSize

// lane is a queue of chunks, and of messages that are sent in parts.
type lane struct {
	chunks []*chunk
	large  []*outgoing
}

// tail returns the chunk that takes the next size bytes.
func (l *lane) tail(now time.Duration, size int) *chunk {
	if n := len(l.chunks); n > 0 && len(l.chunks[n-1].buf)+size <= chunkSize {
		return l.chunks[n-1]
	}
	ch := chunks.Get().(*chunk)
	ch.at = now
	l.chunks = append(l.chunks, ch)
	return ch
}

// pop takes the first chunk, or nil.
func (l *lane) pop() *chunk {
	if len(l.chunks) == 0 {
		return nil
	}
	ch := l.chunks[0]
	l.chunks = slices.Delete(l.chunks, 0, 1)
	return ch
}

// find returns the queued request with the call id and its chunk. Full chunks are indexed by the first search: behind
// a link that is stuck a hundred thousand calls time out together.
func (l *lane) find(callID uint64) (*chunk, *record) {
	for i, ch := range l.chunks {
		if i < len(l.chunks)-1 {
			if ch.index == nil {
				ch.index = make(map[uint64]int32, len(ch.records))
				for j := range ch.records {
					if r := &ch.records[j]; r.request {
						ch.index[r.callID] = int32(j)
					}
				}
			}
			if j, ok := ch.index[callID]; ok && !ch.records[j].dropped {
				return ch, &ch.records[j]
			}
			continue
		}
		for j := range ch.records {
			if r := &ch.records[j]; r.callID == callID && r.request && !r.dropped {
				return ch, r
			}
		}
	}
	return nil, nil
}

// chunk is a run of encoded frames of one lane.
type chunk struct {
	buf     []byte
	records []record         // of the frames of the lane Requests
	index   map[uint64]int32 // requests by call id, see find
	frames  int              // in buf
	sent    int              // bytes of buf that the kernel took
	at      time.Duration    // when the first frame came
	dropped bool             // one of the records is
	merged  bool             // the writer has made it what it writes
}

// record is one frame of the lane Requests in a chunk.
type record struct {
	callID  uint64
	at      time.Duration
	end     int32 // of its bytes in the chunk
	request bool  // and not a CANCEL
	late    bool  // may run although its budget is spent
	dropped bool  // Cancel took it back
}

// append adds a frame.
func (ch *chunk) append(f *wire.Frame) {
	ch.buf = f.Append(ch.buf)
	ch.frames++
}

// note records the frame that was appended last, which is one of the lane Requests.
func (ch *chunk) note(f *wire.Frame, now time.Duration, runLate bool) {
	ch.records = append(ch.records, record{
		callID: f.CallID, at: now, end: int32(len(ch.buf)), request: f.Kind == wire.KindRequest, late: runLate,
	})
}

// absorb moves what is in next to the end of the chunk.
func (ch *chunk) absorb(next *chunk) {
	base := int32(len(ch.buf))
	ch.buf = append(ch.buf, next.buf...)
	ch.frames += next.frames
	for _, r := range next.records {
		r.end += base
		ch.records = append(ch.records, r)
	}
	next.free()
}

// chunks keeps those that were written: between bursts a connection has none.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func (ch *chunk) free() {
	if cap(ch.buf) > 2*chunkSize {
		return
	}
	*ch = chunk{buf: ch.buf[:0], records: ch.records[:0]}
	chunks.Put(ch)
}
