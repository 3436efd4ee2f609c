package rulestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/testkit"
)

func TestAFileHasOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.bolt")
	first, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBolt(path); err == nil || !strings.Contains(err.Error(), "another process has "+path+" open") {
		t.Errorf("opened twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenBolt(path)
	if err != nil {
		t.Fatalf("after the first has closed it: %v", err)
	}
	second.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it holds secrets, and has mode %v, %v", info.Mode(), err)
	}
}

func TestADamagedFileIsSaidToBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.bolt")
	if err := os.WriteFile(path, []byte(strings.Repeat("no store of rules\n", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBolt(path); err == nil || !strings.Contains(err.Error(), path+" is damaged or no file of this program") {
		t.Errorf("damaged: %v", err)
	}
	if _, err := OpenBolt(filepath.Join(path, "x")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("in a file in place of a folder: %v", err)
	}
}

func TestWhoGetsNoAnswerDoesNotKnow(t *testing.T) {
	server := testkit.Redis(t)
	s, err := OpenRedis(RedisOptions{Addresses: []string{server.Address}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, governance.Mark{}, version(1))
	server.Kill()
	if err := s.Put(t.Context(), version(1), entry(version(2), "x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("put while it is away: %v, want ErrUnknown", err)
	}
	if _, err := s.Newest(t.Context()); err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "redis {twohop}:rules:newest") {
		t.Errorf("newest while it is away: %v", err)
	}

	broken := NewRemote(func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("link lost") })
	if err := broken.Put(t.Context(), version(1), entry(version(2), "x")); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "link lost") {
		t.Errorf("put over a broken link: %v, want ErrUnknown", err)
	}
	behind := Serve(s) // the keeper's own store does not know
	over := NewRemote(func(ctx context.Context, method string, body []byte) ([]byte, error) {
		return behind[method](ctx, body)
	})
	if err := over.Put(t.Context(), version(1), entry(version(2), "x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("put at a keeper that does not know: %v, want ErrUnknown", err)
	}
}

// TestARefusalOfRedisIsKnown: what Redis itself refuses did not happen.
func TestARefusalOfRedisIsKnown(t *testing.T) {
	server := testkit.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address, MaxRetries: -1})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	s, err := NewRedis(client, "mesh-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), governance.Mark{}, entry(version(1), "x")); err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("put without memory: %v, want what Redis says, and not ErrUnknown", err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	put(t, s, governance.Mark{}, version(1))
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 3 {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "{mesh-1}:rules:") {
			t.Errorf("key %s has not the prefix", key)
		}
	}
	if err := s.Close(); err != nil || client.Ping(t.Context()).Err() != nil {
		t.Errorf("a client of somebody else was closed: %v", err)
	}
	if _, err := NewRedis(client, "{x}"); err == nil {
		t.Error("a prefix with braces was taken")
	}
	if _, err := OpenRedis(RedisOptions{}); err == nil {
		t.Error("no address was taken")
	}
}

func TestWhatNobodyHasWrittenIsSaid(t *testing.T) {
	server := testkit.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address, MaxRetries: -1})
	defer client.Close()
	s, err := NewRedis(client, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.HSet(t.Context(), s.newest, "mark", hex(version(1)), "entry", "no json").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Newest(t.Context()); err == nil || !strings.Contains(err.Error(), "holds what this program has not written") {
		t.Errorf("got %v", err)
	}
	for method, answer := range Serve(s) {
		if _, err := answer(t.Context(), []byte("{")); err == nil || !strings.Contains(err.Error(), "the body of "+method) {
			t.Errorf("%s of half a body: %v", method, err)
		}
	}
	if _, err := Serve(s)[MethodPut](t.Context(), []byte("{}")); err == nil {
		t.Error("a put without an entry was taken")
	}
	odd := NewRemote(func(context.Context, string, []byte) ([]byte, error) { return []byte("?"), nil })
	if _, err := odd.Newest(t.Context()); err == nil || !strings.Contains(err.Error(), "the keeper's answer to RulesNewest") {
		t.Errorf("an odd answer: %v", err)
	}
}

// TestNewsIsHeardAtOnce: without the poll.
func TestNewsIsHeardAtOnce(t *testing.T) {
	server := testkit.Redis(t)
	var stores [2]*Redis
	for i := range stores {
		s, err := OpenRedis(RedisOptions{Addresses: []string{server.Address}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	ctx, stop := context.WithCancel(t.Context())
	heard, ended := make(chan struct{}, 10), make(chan struct{})
	go func() {
		defer close(ended)
		stores[0].Watch(ctx, func() { heard <- struct{}{} })
	}()
	last := governance.Mark{}
	deadline := time.After(20 * time.Second)
	// The first may be put before it listens, and be polled; the second then is not.
	for n := range uint64(2) {
		from := time.Now()
		put(t, stores[1], last, version(n+1))
		last = version(n + 1)
		select {
		case <-heard:
		case <-deadline:
			t.Fatal("it was not heard")
		}
		if took := time.Since(from); n == 1 && took > pollEvery/2 {
			t.Errorf("heard after %v", took)
		}
	}
	stop()
	<-ended

	keeper, err := OpenBolt(filepath.Join(t.TempDir(), "rules.bolt"))
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	served := Serve(keeper)
	looked := make(chan struct{}, 100)
	remote := NewRemote(func(ctx context.Context, method string, body []byte) ([]byte, error) {
		defer func() { looked <- struct{}{} }()
		return served[method](ctx, body)
	})
	ctx, stop = context.WithCancel(t.Context())
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		remote.Watch(ctx, func() { heard <- struct{}{} })
	}()
	<-looked
	put(t, keeper, governance.Mark{}, version(1))
	remote.Notify()
	select {
	case <-heard:
	case <-deadline:
		t.Error("it was not heard")
	}
	stop()
	<-ended
}
