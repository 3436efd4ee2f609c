package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

func serveNATS(ctx context.Context, target string) error {
	nc, err := nats.Connect(target, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := nc.QueueSubscribe("bench.raw", "bench", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func dialNATS(target string) (echo, func(), error) {
	nc, err := nats.Connect(target, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	return func(_ context.Context, body []byte) ([]byte, error) {
		m, err := nc.Request("bench.raw", body, 10*time.Second)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}, nc.Close, nil
}
