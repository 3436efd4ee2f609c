package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// The floor: frames of a length, an id and bytes. Nothing is looked up, limited, timed or counted, and whoever breaks the rules
// breaks the program. A frame's length is that of what follows the id.
const frameHead = 4 + 8

// framed is a connection that gathers what is written: whoever appends first writes what has come until then.
type framed struct {
	net.Conn

	mu         sync.Mutex
	out, spare []byte
	writing    bool
}

// add appends a frame. Somebody calls flush afterwards.
func (c *framed) add(id uint64, body []byte) {
	c.mu.Lock()
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(body)))
	c.out = binary.BigEndian.AppendUint64(c.out, id)
	c.out = append(c.out, body...)
	c.mu.Unlock()
}

func (c *framed) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing = true
	c.mu.Unlock()
	runtime.Gosched() // others append meanwhile
	c.mu.Lock()
	for len(c.out) > 0 {
		out := c.out
		c.out = c.spare[:0]
		c.mu.Unlock()
		_, _ = c.Write(out) // the reader notices
		c.mu.Lock()
		c.spare = out
	}
	c.writing = false
}

// read hands over frames until the connection ends; at the end of what one read brought it calls batch.
func (c *framed) read(frame func(id uint64, body []byte), batch func()) error {
	buf := make([]byte, 64<<10)
	start, end := 0, 0
	for {
		n, err := c.Read(buf[end:])
		if err != nil {
			return err
		}
		end += n
		for end-start >= frameHead {
			size := frameHead + int(binary.BigEndian.Uint32(buf[start:]))
			if size > len(buf) {
				return fmt.Errorf("a frame of %d bytes", size)
			}
			if end-start < size {
				break
			}
			frame(binary.BigEndian.Uint64(buf[start+4:]), buf[start+frameHead:start+size])
			start += size
		}
		batch()
		end = copy(buf, buf[start:end])
		start = 0
	}
}

// serveFloor answers on the reader.
func serveFloor(ctx context.Context, target string) error {
	return accept(ctx, target, func(c *framed) {
		_ = c.read(c.add, c.flush)
	})
}

// accept runs play for each connection until ctx is done.
func accept(ctx context.Context, at string, play func(c *framed)) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		_ = l.Close()
	}()
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go play(&framed{Conn: nc})
	}
}

// playRelay passes frames on: LISTEN TARGET,TARGET.
func playRelay(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("a relay wants ADDRESS TARGET,TARGET, got %q", args)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		untilStdinEnds(ctx)
		cancel()
	}()
	return relayFrames(ctx, args[0], strings.Split(args[1], ",")...)
}

// relayFrames passes frames from who connects on to the targets, in turn, and answers back.
func relayFrames(ctx context.Context, at string, targets ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var r relay
	for _, target := range targets {
		c, err := dialFramed(ctx, target)
		if err != nil {
			return err
		}
		r.targets = append(r.targets, c)
		go func() {
			var touched []*framed
			_ = c.read(func(id uint64, body []byte) { touched = r.answer(touched, id, body) }, func() { touched = flushAll(touched) })
			cancel()
		}()
	}
	return accept(ctx, at, func(c *framed) {
		next, touched := 0, []*framed(nil)
		_ = c.read(func(id uint64, body []byte) {
			next = (next + 1) % len(r.targets)
			touched = touch(touched, r.targets[next])
			r.targets[next].add(r.put(c, id), body)
		}, func() { touched = flushAll(touched) })
	})
}

// relay knows where the answers go.
type relay struct {
	targets []*framed

	mu    sync.Mutex
	slots []asked
	free  []uint32
}

// asked is who waits for an answer, and under which id.
type asked struct {
	conn *framed
	id   uint64
}

func (r *relay) put(c *framed, id uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		slot := r.free[n-1]
		r.free = r.free[:n-1]
		r.slots[slot] = asked{c, id}
		return uint64(slot)
	}
	r.slots = append(r.slots, asked{c, id})
	return uint64(len(r.slots) - 1)
}

func (r *relay) answer(touched []*framed, slot uint64, body []byte) []*framed {
	r.mu.Lock()
	a := r.slots[slot]
	r.free = append(r.free, uint32(slot))
	r.mu.Unlock()
	a.conn.add(a.id, body)
	return touch(touched, a.conn)
}

// touch notes that a connection has something to write.
func touch(touched []*framed, c *framed) []*framed {
	if slices.Contains(touched, c) {
		return touched
	}
	return append(touched, c)
}

func flushAll(touched []*framed) []*framed {
	for _, c := range touched {
		c.flush()
	}
	return touched[:0]
}

// dialFramed connects as soon as somebody listens.
func dialFramed(ctx context.Context, target string) (*framed, error) {
	var c *framed
	err := eventually(ctx, func() error {
		nc, err := net.Dial("tcp", target)
		c = &framed{Conn: nc}
		return err
	})
	return c, err
}

// floorCaller gives each call a slot with a channel.
type floorCaller struct {
	*framed

	mu    sync.Mutex
	slots []*floorCall
	free  []uint32
}

type floorCall struct {
	answer []byte
	done   chan struct{}
}

func dialFloor(target string) (echo, func(), error) {
	conn, err := dialFramed(context.Background(), target)
	if err != nil {
		return nil, nil, err
	}
	c := &floorCaller{framed: conn}
	go func() {
		_ = c.read(func(id uint64, body []byte) {
			c.mu.Lock()
			call := c.slots[id]
			c.mu.Unlock()
			call.answer = append(call.answer[:0], body...)
			call.done <- struct{}{}
		}, func() {})
	}()
	return c.call, func() { _ = c.Close() }, nil
}

// call returns an answer that is valid until its slot is used again: for who looks at it at once.
func (c *floorCaller) call(_ context.Context, body []byte) ([]byte, error) {
	c.mu.Lock()
	if len(c.free) == 0 {
		c.free = append(c.free, uint32(len(c.slots)))
		c.slots = append(c.slots, &floorCall{done: make(chan struct{}, 1)})
	}
	slot := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	call := c.slots[slot]
	c.mu.Unlock()
	c.add(uint64(slot), body)
	c.flush()
	<-call.done
	c.mu.Lock()
	c.free = append(c.free, slot)
	c.mu.Unlock()
	return call.answer, nil
}
