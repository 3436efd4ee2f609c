package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// deaf is a connection whose owner can stop to read.
type deaf struct {
	net.Conn
	mu     sync.Mutex
	hears  sync.Cond
	closed bool
	is     bool
}

func newDeaf(nc net.Conn) *deaf {
	d := &deaf{Conn: nc}
	d.hears.L = &d.mu
	return d
}

func (d *deaf) Read(b []byte) (int, error) {
	d.mu.Lock()
	for d.is && !d.closed {
		d.hears.Wait()
	}
	d.mu.Unlock()
	return d.Conn.Read(b)
}

func (d *deaf) Close() error {
	d.mu.Lock()
	d.closed = true
	d.hears.Broadcast()
	d.mu.Unlock()
	return d.Conn.Close()
}

func (d *deaf) set(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is = is
	d.hears.Broadcast()
}

// deafDialer dials connections that can be made deaf, all at once.
type deafDialer struct {
	next  func(context.Context, string) (net.Conn, error)
	mu    sync.Mutex
	conns []*deaf
}

func newDeafDialer(c *cluster) *deafDialer {
	return &deafDialer{next: newCutter(c.dialer("a")).dialNext}
}

func (d *deafDialer) dial(ctx context.Context, address string) (net.Conn, error) {
	nc, err := d.next(ctx, address)
	if err != nil {
		return nil, err
	}
	conn := newDeaf(nc)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conn)
	return conn, nil
}

func (d *deafDialer) set(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.set(is)
	}
}

func TestACallerThatDoesNotReadIsClosedAlone(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		big := make([]byte, 512<<10)
		c.serve("pay", "pay-1", func(context.Context, *rpcserver.Request) ([]byte, error) { return big, nil })
		c.serve("chat", "chat-1", echo)
		ears := newDeafDialer(c)
		lost := make(chan error, 8)
		mallory := c.client("mallory", func(o *rpcclient.Options) {
			o.Dial = ears.dial
			o.OnDisconnect = func(_ rpcclient.Connection, cause error) { lost <- cause }
		})
		alice := c.client("alice")
		if _, err := mallory.CallRaw(c.ctx, "pay.Do", nil); err != nil {
			t.Fatal(err)
		}
		ears.set(true)
		var calls []*rpcclient.Pending
		for range 64 { // 32 MiB of answers, which nobody takes
			calls = append(calls, mallory.Go(c.ctx, "pay.Do", nil, nil, rpcclient.Timeout(10*time.Second)))
		}
		eventually(t, "the node closes the deaf caller", func() bool {
			alice.wantReply("chat.Do", "meanwhile")
			return c.nodes["a"].Sessions("mallory") == 0
		})
		ears.set(false)
		<-lost
		for _, p := range calls {
			// Whatever was not answered may have run: the node had them all.
			if err := p.Wait(); err != nil && !errors.Is(err, rpcclient.ErrUnknown) {
				t.Errorf("a call of the deaf caller ended %v", err)
			}
		}
	})
}

func TestAServerThatDoesNotReadGetsNoMore(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		ears := newDeafDialer(c)
		c.serve("pay", "deaf", echo, func(o *rpcserver.Options) { o.Dial = ears.dial })
		alice := c.client("alice", func(o *rpcclient.Options) { o.Timeout = 2 * time.Second })
		bob := c.client("bob")
		c.serve("chat", "chat-1", echo)
		alice.wantReply("pay.Do", "heard")
		ears.set(true)
		body := make([]byte, 256<<10)
		var overloaded, other atomic.Int64
		var callers sync.WaitGroup
		for range 64 {
			callers.Go(func() {
				_, err := alice.CallRaw(c.ctx, "pay.Do", body)
				if errors.Is(err, rpcclient.CodeOverloaded) {
					overloaded.Add(1)
				} else {
					other.Add(1)
				}
			})
		}
		bob.wantReply("chat.Do", "unaffected")
		callers.Wait()
		if overloaded.Load() == 0 {
			t.Errorf("no call of %d was refused OVERLOADED: 16 MiB wait for a server that does not read", other.Load())
		}
		hearing := c.serve("pay", "hears", echo)
		eventually(t, "the other instance takes the calls", func() bool {
			_, err := alice.CallRaw(c.ctx, "pay.Do", nil, rpcclient.Timeout(200*time.Millisecond))
			return err == nil && hearing.started.Load() > 0
		})
		ears.set(false)
	})
}

// ended counts the calls that have ended.
func ended(calls []*rpcclient.Pending) (n int) {
	for _, p := range calls {
		select {
		case <-p.Done():
			n++
		default:
		}
	}
	return n
}

func TestACallerThatFloodsIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		gate := make(chan struct{})
		c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			<-gate
			return nil, nil
		}, func(o *rpcserver.Options) { o.Queue = 4096 })
		c.serve("chat", "chat-1", echo)
		mallory, alice := c.client("mallory"), c.client("alice")
		mallory.wantReply("chat.Do", "connected") // what waits for a connection is not refused
		var pending []*rpcclient.Pending
		for range 1500 {
			pending = append(pending, mallory.Go(c.ctx, "pay.Do", nil, nil))
		}
		alice.wantReply("chat.Do", "unaffected")
		eventually(t, "what is too much is refused", func() bool { return ended(pending) == 1500-1024 })
		close(gate)
		ok, overloaded := 0, 0
		for _, p := range pending {
			switch err := p.Wait(); {
			case err == nil:
				ok++
			case errors.Is(err, rpcclient.CodeOverloaded) && errors.Is(err, rpcclient.ErrNotExecuted):
				overloaded++
			default:
				t.Fatal(err)
			}
		}
		if ok != 1024 || overloaded != 1500-1024 {
			t.Errorf("%d answered and %d refused, want 1,024 and %d", ok, overloaded, 1500-1024)
		}
	})
}

func TestAFullHandlerQueueRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		gate := make(chan struct{})
		pay := c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			<-gate
			return nil, nil
		}, func(o *rpcserver.Options) { o.Queue, o.Concurrency = 4, 2 })
		alice := c.client("alice")
		var pending []*rpcclient.Pending
		for range 50 {
			pending = append(pending, alice.Go(c.ctx, "pay.Do", nil, nil))
		}
		eventually(t, "two run", func() bool { return pay.started.Load() == 2 })
		eventually(t, "all but six are refused", func() bool { return ended(pending) == 50-6 })
		close(gate)
		ok := 0
		for _, p := range pending {
			err := p.Wait()
			if err == nil {
				ok++
			} else if !errors.Is(err, rpcclient.CodeOverloaded) {
				t.Fatal(err)
			}
		}
		if ok != 6 || pay.started.Load() != 6 {
			t.Errorf("%d answered and %d started, want the 2 that ran and the 4 that waited", ok, pay.started.Load())
		}
	})
}

func TestANodeRestarts(t *testing.T) {
	c := start(t, false)
	var up atomic.Int64
	pay := c.serve("pay", "pay-1", echo, func(o *rpcserver.Options) { o.OnConnect = func(rpcserver.Connection) { up.Add(1) } })
	alice := c.client("alice")
	alice.wantReply("pay.Do", "before")
	address := c.nodes["a"].Addr()
	c.nodes["a"].stop()
	if err := <-c.nodes["a"].done; err != nil {
		t.Fatal(err)
	}
	c.nodes["a"].done <- nil
	waiting := alice.Go(c.ctx, "pay.Do", []byte("held"), nil, rpcclient.Timeout(patience), rpcclient.Idempotent())
	c.startNode("a", func(o *messageserver.Options) { o.Listen = address })
	eventually(t, "pay is back", func() bool { return c.nodes["a"].HasInstance("pay", "pay-1") })
	if err := waiting.Wait(); err != nil && !errors.Is(err, rpcclient.CodeNoModule) {
		t.Fatal(err) // the caller may be back before pay is
	}
	alice.wantReply("pay.Do", "after")
	if up.Load() != 2 {
		t.Errorf("pay connected %d times, want 2", up.Load())
	}
	_ = pay
}

func TestSecrets(t *testing.T) {
	secret := func(o *messageserver.Options) {
		o.Auth = messageserver.AuthOptions{Mode: "secret", Modules: []messageserver.ModuleSecret{
			{Module: "pay", Secret: "pay-has-a-secret"}, {Module: "alice", KeyID: 2, Secret: "alice-has-another"},
		}}
	}
	for _, memory := range []bool{true, false} {
		c := start(t, memory, secret)
		c.serve("pay", "pay-1", echo, func(o *rpcserver.Options) { o.Secret = "pay-has-a-secret" })
		alice := c.client("alice", func(o *rpcclient.Options) { o.Secret, o.KeyID = "alice-has-another", 2 })
		alice.wantReply("pay.Do", "42")
		wrong := c.client("alice", func(o *rpcclient.Options) { o.Secret, o.KeyID = "alice-has-no-idea", 2 })
		e := wrong.wantError(rpcclient.CodeUnauthenticated, "pay.Do", "")
		nobody := c.client("mallory", func(o *rpcclient.Options) { o.Secret = "mallory-is-unknown" })
		f := nobody.wantError(rpcclient.CodeUnauthenticated, "pay.Do", "")
		if e.Message != f.Message {
			t.Errorf("a wrong secret says %q, an unknown module %q: one can be told from the other", e.Message, f.Message)
		}
		c.client("alice").wantError(rpcclient.CodeUnauthenticated, "pay.Do", "")
	}
}

func TestNodesStartAndStop(t *testing.T) {
	for range 30 {
		c := start(t, true)
		c.serve("pay", "pay-1", echo)
		c.client("alice").wantReply("pay.Do", "1")
		for _, v := range slices.Backward(c.ends) {
			v()
		}
		c.ends = nil
	}
}
