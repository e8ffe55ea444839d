// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	fetchAtOnce = 64 // messages of intake: 4 MiB
	maxBatch    = 1000
)

// lotFrames are the frames for one lot out of several messages.
type lotFrames struct {
	hook   webhook
	frames []*frame
}

// distribute takes messages of intake and appends their frames to the lots, until the context ends. settled hears of each
// frame that is in its lot.
func (g *gateway) distribute(ctx context.Context, settled func(f *frame, lots int)) error {
	consumer, err := g.js.Consumer(ctx, "intake", "gateways")
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetched, err := fetch(consumer)
		if err != nil {
			return err
		}
		lots, err := byLot(fetched, g.way.streams)
		if err != nil {
			return err
		}
		var failed error
		var mu sync.Mutex
		var streams sync.WaitGroup
		for _, ofStream := range lots {
			streams.Go(func() {
				if err := g.appendLots(ofStream); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			})
		}
		streams.Wait()
		if failed != nil {
			continue // they come again when AckWait is over
		}
		for _, ofStream := range lots {
			for _, lot := range ofStream {
				for _, f := range lot.frames {
					settled(f, 1)
				}
			}
		}
		for _, m := range fetched {
			if err := m.Ack(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch returns what is there, or waits a second for one.
func fetch(consumer jetstream.Consumer) (all []jetstream.Msg, err error) {
	batch, err := consumer.FetchNoWait(fetchAtOnce)
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		all = append(all, m)
	}
	if len(all) > 0 {
		return all, nil
	}
	if batch, err = consumer.Fetch(1, jetstream.FetchMaxWait(time.Second)); err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		all = append(all, m)
	}
	return all, nil
}

// byLot sorts frames by stream and lot.
func byLot(fetched []jetstream.Msg, streams int) ([][]*lotFrames, error) {
	all := make([][]*lotFrames, streams)
	lots := map[webhook]*lotFrames{}
	for _, m := range fetched {
		frames, err := decode(m.Data())
		if err != nil {
			return nil, err
		}
		for _, f := range frames {
			for _, hook := range f.webhooks {
				hook.namespace, hook.stream = strings.TrimPrefix(m.Subject(), "i."), hash(hook.uid, streams)
				lot := lots[hook]
				if lot == nil {
					lot = &lotFrames{hook: hook}
					lots[hook] = lot
					all[hook.stream] = append(all[hook.stream], lot)
				}
				alone := *f
				alone.webhooks = nil
				lot.frames = append(lot.frames, &alone)
			}
		}
	}
	return all, nil
}

// appendLots appends to the lots of one stream: as one atomic batch if they are many, else side by side.
func (g *gateway) appendLots(lots []*lotFrames) error {
	var all []*nats.Msg
	for _, lot := range lots {
		for rest := lot.frames; len(rest) > 0; {
			m, n := message(rest, lot.hook.subject)
			all, rest = append(all, m), rest[n:]
			g.entries.Add(int64(n))
		}
	}
	g.appends.Add(int64(len(all)))
	for len(all) > 0 && g.way.batchFrom > 0 && len(all) >= g.way.batchFrom {
		n := min(len(all), maxBatch)
		if err := g.publishBatch(all[:n]); err != nil {
			g.failures.Add(1)
			return err
		}
		all = all[n:]
	}
	waits := make([]func() error, 0, len(all))
	for _, m := range all {
		waits = append(waits, g.publish(m))
	}
	var failed error
	for _, wait := range waits {
		if err := wait(); err != nil {
			failed = err
		}
	}
	return failed
}

// publishBatch appends messages to one stream, all or none.
func (g *gateway) publishBatch(all []*nats.Msg) error {
	id := nuid.Next()
	for i, m := range all {
		m.Header = nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i + 1)}}
		if i == len(all)-1 {
			break
		}
		if err := g.nc.PublishMsg(m); err != nil {
			return err
		}
	}
	last := all[len(all)-1]
	last.Header.Set("Nats-Batch-Commit", "1")
	answer, err := g.nc.RequestMsg(last, answerWithin)
	if err != nil {
		return err
	}
	if strings.Contains(string(answer.Data), `"error"`) {
		return &jetstream.APIError{Description: string(answer.Data)}
	}
	return nil
}
