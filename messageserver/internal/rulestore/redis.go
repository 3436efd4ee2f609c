package rulestore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/twohop/twohop/governance"
)

// RedisOptions say which Redis OpenRedis uses.
type RedisOptions struct {
	// Addresses are host:port, or the path of a unix socket. One is a server, several are a cluster; with Master they are
	// sentinels.
	Addresses []string

	Username string
	Password string
	DB       int    // not of a cluster
	Master   string // the name of the master that sentinels watch
	TLS      *tls.Config

	// Prefix begins every key. Default "twohop".
	Prefix string
}

const redisTimeout = time.Second // of connecting, writing and reading, where the context allows it

// OpenRedis returns a store that makes its own connections and closes them. It does not connect yet: a node starts with the
// rules that it has while Redis is away.
func OpenRedis(o RedisOptions) (*Redis, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New("rulestore: redis needs an address")
	}
	// The library writes a line to stderr for each connection that it cannot make. Here each is an error of somebody's call.
	redis.SetLogger(&logging.VoidLogger{})
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: o.Addresses, Username: o.Username, Password: o.Password, DB: o.DB, MasterName: o.Master, TLSConfig: o.TLS,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout,
		DialerRetries:            1,
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1, // a write that got no answer must not be written again
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	s, err := NewRedis(client, o.Prefix)
	if err != nil {
		_ = client.Close() // it has no connection yet
		return nil, err
	}
	s.close = client.Close
	return s, nil
}

// Redis is a Store in Redis 6 or newer, for any number of nodes. All keys are in one slot of a cluster:
//
//	{prefix}:rules:newest    hash: mark → the newest mark, entry → its Entry as JSON; all that compare-and-set needs
//	{prefix}:rules:history   sorted set, all of score 0: mark, a blank, Entry without Text as JSON
//	{prefix}:rules:entries   hash: mark → Entry as JSON
//	{prefix}:rules:changed   channel: the new mark
//
// A mark is 32 hexadecimal digits there, so that it sorts as text. A Put is as safe as Redis is configured to make it: with
// appendfsync everysec a crash of the machine may lose the last second, and so may a failover; nodes write what was lost forward.
type Redis struct {
	// Static after construction.
	client                   redis.UniversalClient
	newest, history, entries string // keys
	channel                  string
	kept                     int
	close                    func() error

	news bell
}

// NewRedis returns a store over a client, which stays its owner's. The client must not repeat writes (MaxRetries: -1) and should
// follow the deadlines of contexts (ContextTimeoutEnabled). The prefix begins every key; empty is "twohop".
func NewRedis(client redis.UniversalClient, prefix string) (*Redis, error) {
	if prefix == "" {
		prefix = "twohop"
	}
	if strings.ContainsAny(prefix, "{}") {
		return nil, fmt.Errorf("rulestore: the prefix %q of redis keys has a brace: the keys have their own", prefix)
	}
	keys := "{" + prefix + "}:rules:"
	return &Redis{
		client: client, newest: keys + "newest", history: keys + "history", entries: keys + "entries", channel: keys + "changed",
		kept: maxKept, close: func() error { return nil },
	}, nil
}

// String names the store for logs.
func (s *Redis) String() string { return "redis " + s.newest }

// putScript returns false, or the entry that is in the way.
//
//	KEYS newest, history, entries   ARGV from, mark, entry, meta, kept, channel
var putScript = redis.NewScript(`
local has = redis.call('HMGET', KEYS[1], 'mark', 'entry')
if (has[1] or '') ~= ARGV[1] then return has[2] or '' end
redis.call('HSET', KEYS[1], 'mark', ARGV[2], 'entry', ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[2] .. ' ' .. ARGV[4])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
local old = redis.call('ZRANGE', KEYS[2], 0, -1 - ARGV[5])
for _, member in ipairs(old) do
	redis.call('ZREM', KEYS[2], member)
	redis.call('HDEL', KEYS[3], string.sub(member, 1, 32))
end
redis.call('PUBLISH', ARGV[6], ARGV[2])
return false`)

// Newest implements Store.
func (s *Redis) Newest(ctx context.Context) (Entry, error) {
	text, err := s.client.HGet(ctx, s.newest, "entry").Result()
	if errors.Is(err, redis.Nil) {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, s.explain(err)
	}
	return s.entry(text)
}

// Put implements Store.
func (s *Redis) Put(ctx context.Context, from governance.Mark, e Entry) error {
	if err := errors.Join(ctx.Err(), checkPut(from, e)); err != nil {
		return err
	}
	meta := e
	meta.Text = nil
	whole, err := json.Marshal(e)
	if err != nil {
		return err
	}
	short, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	has, err := putScript.Run(ctx, s.client, []string{s.newest, s.history, s.entries},
		hex(from), hex(e.Mark), whole, short, s.kept, s.channel).Text()
	if errors.Is(err, redis.Nil) {
		s.news.ring()
		return nil
	}
	if err != nil {
		err = s.explain(err)
		if _, answered := errors.AsType[redis.Error](err); !answered && !errors.Is(err, ErrClosed) {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return err
	}
	conflict := &ConflictError{}
	if has != "" {
		if conflict.Has, err = s.entry(has); err != nil {
			return err
		}
	}
	return conflict
}

// Entry implements Store.
func (s *Redis) Entry(ctx context.Context, m governance.Mark) (Entry, error) {
	text, err := s.client.HGet(ctx, s.entries, hex(m)).Result()
	if errors.Is(err, redis.Nil) {
		return Entry{}, ErrNoEntry
	}
	if err != nil {
		return Entry{}, s.explain(err)
	}
	return s.entry(text)
}

// History implements Store.
func (s *Redis) History(ctx context.Context, before governance.Mark, limit int) ([]Entry, error) {
	if limit <= 0 {
		limit = maxKept
	}
	top := "+"
	if before != (governance.Mark{}) {
		top = "(" + hex(before) // what has that mark goes on after it, so it is greater
	}
	members, err := s.client.ZRevRangeByLex(ctx, s.history, &redis.ZRangeBy{Min: "-", Max: top, Count: int64(limit)}).Result()
	if err != nil {
		return nil, s.explain(err)
	}
	var found []Entry
	for _, member := range members {
		_, meta, _ := strings.Cut(member, " ")
		e, err := s.entry(meta)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

// Watch implements Store.
func (s *Redis) Watch(ctx context.Context, changed func()) {
	news, quit := s.news.listen()
	defer quit()
	subscription := s.client.Subscribe(ctx, s.channel)
	messages := subscription.Channel() // it connects again by itself; what is missed meanwhile is polled
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range messages {
			s.news.ring()
		}
	}()
	watch(ctx, s, pollEvery, news, changed)
	_ = subscription.Close() // it ends messages; what it could not say to Redis does not matter
	<-done
}

// Close implements Store. It closes the connections if OpenRedis made them.
func (s *Redis) Close() error {
	if err := s.close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

func (s *Redis) entry(text string) (e Entry, err error) {
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Entry{}, fmt.Errorf("rulestore: %s holds what this program has not written: %w", s, err)
	}
	return e, nil
}

func (s *Redis) explain(err error) error {
	if errors.Is(err, redis.ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("rulestore: %s: %w", s, err)
}

// hex writes a mark so that it sorts as text; the zero Mark is empty.
func hex(m governance.Mark) string {
	if m == (governance.Mark{}) {
		return ""
	}
	return fmt.Sprintf("%016x%016x", m.Epoch, m.Version)
}
