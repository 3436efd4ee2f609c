//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

// partVariable has the part, as JSON, in the process that plays it.
const partVariable = "CHAOS_PART"

// part is what a module's process is told: to serve, to call, or both.
type part struct {
	Name    string        `json:"name"`
	Module  string        `json:"module"`
	Secret  string        `json:"secret"`
	Nodes   []string      `json:"nodes"`  // addresses
	Ledger  string        `json:"ledger"` // a file
	Ready   string        `json:"ready"`  // a file that is there when the module has begun
	Serves  bool          `json:"serves"` // the method Do
	Work    time.Duration `json:"work"`   // of its handler
	Paths   int           `json:"paths"`  // sessions of who serves
	Calls   string        `json:"calls"`  // a method; "" for none
	Number  uint64        `json:"number"` // of the caller, part of the keys
	Workers int           `json:"workers"`
	Every   time.Duration `json:"every"` // how often each of them calls, at most
	Timeout time.Duration `json:"timeout"`
	Body    int           `json:"body"`  // bytes
	Relay   *relay        `json:"relay"` // instead of all of that
}

// play plays a part until SIGTERM. Then no call is begun, those under way end, and the process does.
func play(text string) (status int) {
	var p part
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// caller is what both SDKs call with.
type caller interface {
	CallRaw(ctx context.Context, method string, body []byte, opts ...rpcclient.CallOption) ([]byte, error)
}

func (p *part) run(ctx context.Context) error {
	if p.Relay != nil {
		return p.Relay.run(ctx, p.Ready)
	}
	l, err := openLedger(p.Ledger)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	opened := make(chan struct{})
	var once sync.Once
	onConnect := func(c rpcclient.Connection) {
		l.write(&record{Kind: kindOpen, Node: c.Node, Session: c.Session})
		once.Do(func() { close(opened) })
	}
	if !p.Serves {
		c, err := rpcclient.Dial(strings.Join(p.Nodes, ","), rpcclient.Options{
			Module: p.Module, Instance: p.Name, Secret: p.Secret, KeyID: 1, Logger: log, OnConnect: onConnect,
		})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // it returns nil
		select {
		case <-opened:
		case <-ctx.Done():
			return nil
		}
		return p.call(ctx, c, l)
	}

	s := rpcserver.New(rpcserver.Options{
		Module: p.Module, Instance: p.Name, Secret: p.Secret, KeyID: 1, Addresses: p.Nodes, Connections: p.Paths,
		Logger: log, OnConnect: onConnect, DrainTimeout: 5 * time.Second,
	})
	rpcserver.HandleRaw(s, "Do", func(_ context.Context, r *rpcserver.Request) ([]byte, error) { return p.do(r.Body, l), nil })
	serving, leave := context.WithCancel(context.Background())
	defer leave()
	done := make(chan error, 1)
	go func() { done <- s.Run(serving) }()
	if s.WaitReady(ctx) == nil {
		err = p.call(ctx, s.Client(), l)
	}
	<-ctx.Done()
	leave()
	if ended := <-done; err == nil {
		err = ended
	}
	return err
}

// do is the handler: it works for a while, whatever becomes of the caller.
func (p *part) do(body []byte, l *ledger) []byte {
	body = bytes.Clone(body)
	k := keyOf(body)
	l.write(&record{Kind: kindStart, Key: k})
	if p.Work > 0 {
		<-time.After(p.Work)
	}
	l.write(&record{Kind: kindDone, Key: k})
	return answerTo(body)
}

// call keeps its workers calling until ctx is done, and waits for what they have begun.
func (p *part) call(ctx context.Context, c caller, l *ledger) error {
	if err := os.WriteFile(p.Ready, nil, 0o600); err != nil || p.Calls == "" {
		return err
	}
	var count atomic.Uint64
	var working sync.WaitGroup
	for i := range p.Workers {
		working.Go(func() {
			next := time.NewTimer(p.Every * time.Duration(i) / time.Duration(p.Workers)) // they do not start at once
			defer next.Stop()
			for {
				select {
				case <-next.C:
				case <-ctx.Done():
					return
				}
				next.Reset(p.Every)
				p.callOnce(c, l, p.Number<<keyBits|count.Add(1))
			}
		})
	}
	working.Wait()
	return nil
}

// callOnce makes one call. The intent is on record before its first byte leaves.
func (p *part) callOnce(c caller, l *ledger, k uint64) {
	body := make([]byte, max(p.Body, 8))
	binary.BigEndian.PutUint64(body, k)
	for i := 8; i < len(body); i++ {
		body[i] = byte(k) + byte(i)
	}
	l.write(&record{Kind: kindInvoke, Key: k, Method: p.Calls, Budget: p.Timeout})
	var receipt rpcclient.Receipt
	answer, err := c.CallRaw(context.Background(), p.Calls, body, rpcclient.Timeout(p.Timeout), rpcclient.WantReceipt(&receipt))
	end := &record{Kind: kindEnd, Key: k, Class: rpcclient.Success.String(), Code: rpcclient.CodeOK.String()}
	for _, hop := range receipt.Hops {
		end.Hops = append(end.Hops, hop.Node)
	}
	if err == nil && !bytes.Equal(answer, answerTo(body)) {
		end.Wrong = fmt.Sprintf("the answer is %d bytes, of the call %s", len(answer), keyText(keyOf(answer)))
	}
	if e := rpcclient.AsError(err); e != nil {
		end.Class, end.Code, end.Text, end.Node, end.Try, end.Session = e.Class.String(), e.Code.String(), e.Error(), e.Node, e.Try, e.Session
		for _, r := range e.Unknown {
			end.Unknown = append(end.Unknown, r.Node)
		}
	} else if err != nil {
		end.Class, end.Wrong = "", err.Error()
	}
	l.write(end)
}

// keyBits is how many bits of a key count the calls of a caller.
const keyBits = 40

func keyOf(body []byte) uint64 {
	if len(body) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(body)
}

func keyText(k uint64) string { return fmt.Sprintf("%d-%d", k>>keyBits, k&(1<<keyBits-1)) }

var table = crc64.MakeTable(crc64.ECMA)

// answerTo is the right answer to a request: its key, and the checksum of all of it.
func answerTo(body []byte) []byte {
	answer := binary.BigEndian.AppendUint64(nil, keyOf(body))
	return binary.BigEndian.AppendUint64(answer, crc64.Checksum(body, table))
}
