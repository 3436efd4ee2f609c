package rpcserver

import (
	"context"
	"math/rand/v2"
	"time"
)

// askEvery is how often a needed module is asked that has not answered, give or take a fifth.
const askEvery = time.Second

// Ready reports whether the server is logged in and every module of Options.Needs has answered once.
func (s *Server) Ready() bool {
	select {
	case <-s.ready:
		return s.client != nil && s.client.Open()
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

// ask asks a needed module until one of its instances answers.
func (s *Server) ask(ctx context.Context, module string) {
	for {
		bounded, cancel := context.WithTimeout(ctx, askEvery)
		err := s.client.Call(bounded, module+"."+methodPing, nil, nil)
		cancel()
		if err == nil {
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

// answered notes that a needed module is there.
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
