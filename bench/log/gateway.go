// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	manyWebhooks = 16 // an event for more is one frame of intake
	waitingLots  = 64 // while more wait for an append, new frames go to intake
	intakeOut    = 2  // appends to intake that are out at once
)

// gateway is the group commit of one gateway: one append is out for each lot, two for intake, and what comes meanwhile goes
// together into the next.
type gateway struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	prefix string
	way    way

	mu      sync.Mutex
	lots    map[webhook]*queue
	waiting int // lots with frames that wait
	intake  map[string]*queue
	turns   []string // namespaces with frames that wait for intake
	out     int      // to intake

	appends, entries, intakeAppends, intakeFrames, failures atomic.Int64 // messages and what is in them
}

type queue struct {
	out     bool
	waiting []pending
}

type pending struct {
	frame *frame
	done  func(error)
}

func newGateway(e *engine, way way) (*gateway, error) {
	js, nc, err := e.connect()
	return &gateway{
		nc: nc, js: js, prefix: e.prefix, way: way, lots: map[webhook]*queue{}, intake: map[string]*queue{},
	}, err
}

// append takes an event for webhooks of one namespace, and calls back when it is durable.
func (g *gateway) append(f *frame, hooks []webhook, done func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.way.intake && (len(hooks) > manyWebhooks || g.waiting > waitingLots) {
		g.appendIntake(f, hooks, done)
		return
	}
	left := atomic.Int64{}
	left.Store(int64(len(hooks)))
	for _, hook := range hooks {
		q := g.lots[hook]
		if q == nil {
			q = &queue{}
			g.lots[hook] = q
		}
		if len(q.waiting) == 0 {
			g.waiting++
		}
		q.waiting = append(q.waiting, pending{f, func(err error) {
			if left.Add(-1) == 0 {
				done(err)
			}
		}})
		g.sendLot(hook, q)
	}
}

func (g *gateway) appendIntake(f *frame, hooks []webhook, done func(error)) {
	namespace := hooks[0].namespace
	q := g.intake[namespace]
	if q == nil {
		q = &queue{}
		g.intake[namespace] = q
	}
	if len(q.waiting) == 0 {
		g.turns = append(g.turns, namespace)
	}
	listed := *f
	listed.webhooks = hooks
	q.waiting = append(q.waiting, pending{&listed, done})
	g.sendIntake()
}

// sendLot holds the lock, as sendIntake and send do.
func (g *gateway) sendLot(hook webhook, q *queue) {
	if q.out || len(q.waiting) == 0 {
		return
	}
	q.out = true
	g.send(q, hook.subject, func(frames int) {
		g.appends.Add(1)
		g.entries.Add(int64(frames))
		q.out = false
		g.sendLot(hook, q)
	})
	if len(q.waiting) == 0 {
		g.waiting--
	}
}

func (g *gateway) sendIntake() {
	for g.out < intakeOut && len(g.turns) > 0 {
		q := g.intake[g.turns[0]]
		g.out++
		subject := webhook{namespace: g.turns[0]}.intake()
		g.send(q, func(int) string { return subject }, func(frames int) {
			g.intakeAppends.Add(1)
			g.intakeFrames.Add(int64(frames))
			g.out--
			g.sendIntake()
		})
		if g.turns = g.turns[1:]; len(q.waiting) > 0 {
			g.turns = append(g.turns, subject[len("i."):])
		}
	}
}

// send appends what fits into one message, and calls back, with the lock, when it is durable.
func (g *gateway) send(q *queue, subject func(int) string, sent func(frames int)) {
	frames := make([]*frame, 0, min(len(q.waiting), maxFrames))
	for _, p := range q.waiting[:cap(frames)] {
		frames = append(frames, p.frame)
	}
	m, n := message(frames, subject)
	settled := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	wait := g.publish(m)
	go func() {
		err := wait()
		for _, p := range settled {
			p.done(err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		sent(n)
	}()
}

// publish sends a message and returns what waits for the answer.
func (g *gateway) publish(m *nats.Msg) func() error {
	m.Subject = g.prefix + m.Subject
	future, err := g.js.PublishMsgAsync(m)
	return func() error {
		if err == nil {
			select {
			case <-future.Ok():
			case err = <-future.Err():
			}
		}
		if err != nil {
			g.failures.Add(1)
		}
		return err
	}
}
