//go:build linux

package chaos

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// relay is what makes a connection long, where the kernel cannot: bytes that it takes come out later, in order.
type relay struct {
	Listen string        `json:"listen"`
	To     string        `json:"to"`
	Delay  time.Duration `json:"delay"` // each way
	Jitter time.Duration `json:"jitter"`
}

// run serves until ctx is done.
func (r *relay) run(ctx context.Context, ready string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", r.Listen)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		listener.Close()
	}()
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	for {
		from, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go r.carry(ctx, from)
	}
}

// carry joins one connection with one to the far end.
func (r *relay) carry(ctx context.Context, from net.Conn) {
	defer from.Close()
	var d net.Dialer
	to, err := d.DialContext(ctx, "tcp", r.To)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	go func() { r.pump(to, from); done <- struct{}{} }()
	go func() { r.pump(from, to); done <- struct{}{} }()
	<-done
}

// pump copies in one direction. Each piece comes out when its time has come, and not before the one ahead of it.
func (r *relay) pump(to io.Writer, from io.Reader) {
	type piece struct {
		due   time.Time
		bytes []byte
	}
	under := make(chan piece, 4096)
	go func() {
		defer close(under)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				wait := r.Delay - r.Jitter + rand.N(2*r.Jitter)
				under <- piece{time.Now().Add(wait), buffer[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range under {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			for range under { // the reader must not hang
			}
			return
		}
	}
}
