// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// client is an engine and a connection to it, through which everything is durable when it returns.
type client struct {
	engine *engine
	js     jetstream.JetStream
	nc     *nats.Conn
}

func (s *spike) newClient(ctx context.Context, store, sync string) (*client, error) {
	e, err := s.startLog(ctx, store, sync)
	if err != nil {
		return nil, err
	}
	js, nc, err := e.connect()
	if err != nil {
		e.kill()
		return nil, err
	}
	return &client{e, js, nc}, nil
}

func (c *client) close() {
	c.nc.Close()
	c.engine.kill()
}

func (c *client) append(ctx context.Context, subject string, data []byte) (uint64, error) {
	ack, err := c.js.Publish(ctx, c.engine.prefix+subject, data)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// settle waits until the disk has it, where the engine does not wait itself.
func (c *client) settle(ctx context.Context, stream string) error {
	if c.engine.prefix == "" {
		return nil
	}
	_, err := c.nc.RequestWithContext(ctx, syncPrefix+stream, nil)
	return err
}

func (c *client) purge(ctx context.Context, stream string, options ...jetstream.StreamPurgeOpt) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	if err := s.Purge(ctx, options...); err != nil {
		return err
	}
	return c.settle(ctx, stream)
}

// ack fetches messages of intake and acknowledges each by itself.
func (c *client) ack(ctx context.Context, l *ledger, n int) (acked int, err error) {
	consumer, err := c.js.Consumer(ctx, "intake", "gateways")
	if err != nil {
		return 0, err
	}
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		about, err := m.Metadata()
		if err != nil {
			return acked, err
		}
		l.set("intake", removing, about.Sequence.Stream)
		if err := m.DoubleAck(ctx); err != nil {
			return acked, err
		}
		if err := c.settle(ctx, "intake"); err != nil {
			return acked, err
		}
		l.set("intake", removed, about.Sequence.Stream)
		acked++
	}
	return acked, nil
}
