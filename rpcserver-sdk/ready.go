package rpcserver

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twohop/twohop/internal/caller"
)

// askEvery is how often a question is repeated that has no answer yet, give or take a fifth.
const askEvery = time.Second

// self stands for the server among what readiness waits for.
const self = ""

// Ready reports whether calls reach this server and every module of Options.Needs has answered once. One session is enough: it
// does not wait for the second. It is false while none is open.
func (s *Server) Ready() bool {
	select {
	case <-s.ready:
		return s.client.Open()
	default:
		return false
	}
}

// WaitReady waits until the server is ready for the first time. The error is that of ctx, or what is wrong with the
// options.
func (s *Server) WaitReady(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.client.WaitOpen(ctx)
}

// ask asks a module, or the server itself, until it has answered.
func (s *Server) ask(ctx context.Context, module string) {
	for {
		bounded, cancel := context.WithTimeout(ctx, askEvery)
		answered := s.askOnce(bounded, module)
		cancel()
		if answered {
			s.answered(module)
			return
		}
		timer := time.NewTimer(askEvery*4/5 + rand.N(askEvery*2/5)) //nolint:gosec // jitter
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (s *Server) askOnce(ctx context.Context, module string) bool {
	if module != self {
		return s.client.Call(ctx, module+"."+methodPing, nil, nil) == nil
	}
	// The node registers the server when it reads that the policy is in force, which went ahead of this call on the same
	// session: whatever it answers, it has read that.
	select {
	case <-s.governed:
	case <-ctx.Done():
		return false
	}
	name, _ := s.client.Instance()
	err := s.client.Call(ctx, s.opts.Module+"."+methodPing, nil, nil, caller.Instance(name))
	e := AsError(err)
	return err == nil || e != nil && (e.Node != "" || e.RPCID != 0)
}

// answered notes that somebody is there.
func (s *Server) answered(module string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs[module] = true
	for _, there := range s.needs {
		if !there {
			return
		}
	}
	close(s.ready)
}
