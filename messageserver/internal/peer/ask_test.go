package peer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/proto/wire"
)

// thinking is how many questions to Think are not answered.
var thinking atomic.Int64

// asking plays with two nodes, of which b answers some questions.
func asking(t *testing.T, play func(m *mesh, a, b *node)) {
	t.Helper()
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		play(m, m.nodes["a"], m.nodes["b"])
	}, func(o *Options) {
		if o.Node != "b" {
			return
		}
		o.Methods = map[string]inbound.Method{
			"Echo": func(_ context.Context, body []byte) ([]byte, error) { return append([]byte("b: "), body...), nil },
			"Fail": func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no such list") },
			"Deny": func(context.Context, []byte) ([]byte, error) {
				return nil, &wire.Error{Code: wire.Denied, Reason: "not you"}
			},
			"Think": func(ctx context.Context, _ []byte) ([]byte, error) {
				thinking.Add(1)
				defer thinking.Add(-1)
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"Large": func(context.Context, []byte) ([]byte, error) { return make([]byte, 1<<20), nil },
		}
	})
}

func wantCode(t *testing.T, err error, code wire.Code, words string) {
	t.Helper()
	said, ok := errors.AsType[*wire.Error](err)
	if !ok || said.Code != code || !strings.Contains(said.Reason, words) {
		t.Errorf("%v, want %s with %q", err, code, words)
	}
}

func TestNodesAskEachOther(t *testing.T) {
	asking(t, func(m *mesh, a, b *node) {
		ctx := m.t.Context()
		got, err := a.peers.Ask(ctx, "b", "Echo", []byte("hello"))
		if err != nil || string(got) != "b: hello" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err = a.peers.Ask(ctx, "b", "Echo", nil); err != nil || string(got) != "b: " {
			t.Errorf("%q, %v", got, err)
		}
		if got, err = a.peers.Ask(ctx, "b", "Large", nil); err != nil || len(got) != 1<<20 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_, err = a.peers.Ask(ctx, "b", "Fail", nil)
		wantCode(t, err, wire.AppError, "no such list")
		_, err = a.peers.Ask(ctx, "b", "Deny", nil)
		wantCode(t, err, wire.Denied, "not you")
		_, err = a.peers.Ask(ctx, "b", "Nothing", nil)
		wantCode(t, err, wire.Unimplemented, "no such method")
		if _, err = a.peers.Ask(ctx, "z", "Echo", nil); err == nil || !strings.Contains(err.Error(), "not in the members") {
			t.Errorf("of nobody: %v", err)
		}
		if _, err = a.peers.Ask(ctx, "b", "no method", nil); err == nil {
			t.Error("a method whose name is none")
		}
		if asked := b.peers.Counters().Inbound.Asked.Load(); asked != 5 {
			t.Errorf("%d questions were asked, want 5", asked)
		}
	})
}

func TestAQuestionHasItsTime(t *testing.T) {
	asking(t, func(m *mesh, a, b *node) {
		took := func(ctx context.Context) time.Duration {
			t.Helper()
			began := time.Now()
			if _, err := a.peers.Ask(ctx, "b", "Think", nil); err == nil {
				t.Error("it was answered")
			} else if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
				t.Errorf("%v, want %v", err, ctx.Err())
			}
			return time.Since(began)
		}
		if got := took(m.t.Context()); got < askTimeout || got > askTimeout+200*time.Millisecond {
			t.Errorf("without a deadline it took %v", got)
		}
		short, cancel := context.WithTimeout(m.t.Context(), time.Second)
		defer cancel()
		if got := took(short); got < time.Second || got > 1200*time.Millisecond {
			t.Errorf("with a second it took %v", got)
		}
		if got := took(short); got != 0 {
			t.Errorf("after its time it took %v", got)
		}
		given, giveUp := context.WithCancel(m.t.Context())
		time.AfterFunc(100*time.Millisecond, giveUp)
		if got := took(given); got < 100*time.Millisecond || got > 300*time.Millisecond {
			t.Errorf("given up after 100 ms it took %v", got)
		}
		m.within(time.Second, "b thinks no more", func() bool { return b.link("a").Incoming == 0 })
	})
}

func TestQuestionsEndWithTheirLink(t *testing.T) {
	asking(t, func(m *mesh, a, b *node) {
		failed := make(chan error)
		go func() {
			_, err := a.peers.Ask(m.t.Context(), "b", "Think", nil)
			failed <- err
		}()
		synctest.Wait()
		b.peers.mu.Lock()
		l := b.peers.members["a"].link
		b.peers.mu.Unlock()
		began := time.Now()
		l.conn.Close(nil)
		synctest.Wait()
		if thinking.Load() != 0 {
			t.Error("b thinks on, and nobody waits for the answer")
		}
		wantCode(t, <-failed, wire.ConnectionLost, "lost")
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if _, err := a.peers.Ask(m.t.Context(), "b", "Echo", nil); err == nil || !strings.Contains(err.Error(), "not up") {
			t.Errorf("without a link: %v", err)
		}
	})
}

func TestTooManyQuestions(t *testing.T) {
	asking(t, func(m *mesh, a, b *node) {
		ctx, cancel := context.WithCancel(m.t.Context())
		var refused, open atomic.Int64
		done := make(chan struct{})
		for range 20 {
			go func() {
				open.Add(1)
				_, err := a.peers.Ask(ctx, "b", "Think", nil)
				if said, ok := errors.AsType[*wire.Error](err); ok && said.Code == wire.Overloaded {
					refused.Add(1)
				}
				open.Add(-1)
				done <- struct{}{}
			}()
		}
		for range 4 {
			<-done
		}
		synctest.Wait()
		if open.Load() != 16 || refused.Load() != 4 || b.link("a").Incoming != 16 {
			t.Errorf("%d are open and %d refused, want 16 and 4", open.Load(), refused.Load())
		}
		cancel()
		for range 16 {
			<-done
		}
		if _, err := a.peers.Ask(m.t.Context(), "b", "Echo", nil); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
}
