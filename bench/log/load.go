// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	loadSeconds   = 30
	gateways      = 2
	refusedAfter  = time.Second     // an append that takes longer goes to objects instead
	drainedWithin = 3 * time.Second // of the last event, if distribution keeps up
	drainAtMost   = 60 * time.Second
)

// way is one design of the path from a publisher to the lots.
type way struct {
	name      string
	sync      string
	intake    bool // events for many webhooks, and those of a crowd, go through intake
	streams   int  // of parked lots
	batchFrom int  // a worker appends so many messages of a stream as one atomic batch; 0: never
	fast      bool // on a disk that does not wait
}

func ways() []way {
	return []way{
		{"always, as designed", syncAlways, true, parkedStreams, 256, false},
		{"always, batch from 16", syncAlways, true, parkedStreams, 16, false},
		{"always, 32 streams", syncAlways, true, 4 * parkedStreams, 256, false},
		{"always, 32 streams, batch from 16", syncAlways, true, 4 * parkedStreams, 16, false},
		{"always, no intake", syncAlways, false, parkedStreams, 0, false},
		{"always, as designed, fast disk", syncAlways, true, parkedStreams, 256, true},
		{"own, intake", syncOwn, true, parkedStreams, 0, false},
		{"own, no intake", syncOwn, false, parkedStreams, 0, false},
	}
}

// runLoad tries the ways on a disk that takes its time.
func (s *spike) runLoad(ctx context.Context, scenario string) error {
	for _, way := range ways() {
		if !strings.Contains(way.name, s.variants) || ctx.Err() != nil {
			continue
		}
		s.say("%s: %s", scenario, way.name)
		if err := s.runWay(ctx, scenario, way); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return nil
}

// tally is what publishers and workers see.
type tally struct {
	mu        sync.Mutex
	acks      samples // as publishers wait
	lags      samples // from publishing until a frame is in a lot
	inLots    int     // entries, while it runs
	acked     map[uint64][]webhook
	unsettled int // events without an answer
}

func (t *tally) publish(g *gateway, f *frame, hooks []webhook) {
	t.mu.Lock()
	t.unsettled++
	t.mu.Unlock()
	g.append(f, hooks, func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.unsettled--
		if err == nil {
			t.acks = append(t.acks, time.Since(f.accepted))
			t.acked[f.event] = hooks
		}
	})
}

func (t *tally) settle(f *frame, lots int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lags = append(t.lags, time.Since(f.accepted))
	t.inLots += lots
}

func (s *spike) runWay(ctx context.Context, scenario string, way way) error {
	fsync := s.fsync
	if way.fast {
		fsync = 0
	}
	disk, err := s.newDisk(ctx, fsync)
	if err != nil {
		return err
	}
	defer disk.remove()
	e, err := s.startLog(ctx, disk.store, way.sync)
	if err != nil {
		return err
	}
	defer e.kill()
	js, nc, err := e.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := makeStreams(ctx, js, way.streams); err != nil {
		return err
	}
	r := &loadRun{way: way, scenario: scenario, engine: e, disk: disk, js: js, tally: tally{acked: map[uint64][]webhook{}}}
	return r.run(ctx, s)
}

// loadRun is one way under one load.
type loadRun struct {
	way      way
	scenario string
	engine   *engine
	disk     *disk
	js       jetstream.JetStream
	gateways []*gateway
	tally    tally
	pending  uint64 // messages of intake when publishing ended
	drained  time.Duration
}

func (r *loadRun) run(ctx context.Context, s *spike) error {
	working, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	for range gateways {
		g, err := newGateway(r.engine, r.way)
		if err != nil {
			return err
		}
		defer g.nc.Close() //nolint:gocritic // all of them, at the end
		r.gateways = append(r.gateways, g)
		workers.Go(func() {
			if err := g.distribute(working, r.tally.settle); err != nil && working.Err() == nil {
				fmt.Fprintln(os.Stderr, "worker:", err)
			}
		})
	}
	cpu, own, began := r.engine.cpu(), ownCPU(), time.Now()
	flushes, err := r.disk.ask("flushes")
	if err != nil {
		return err
	}
	seconds := s.scaled(loadSeconds)
	if r.scenario == "fan" {
		r.publish(seconds, time.Second, webhooks(1000, 1, r.way.streams), 1000)
	} else {
		r.publish(seconds*1000, time.Millisecond, webhooks(200, s.namespaces, r.way.streams), 1)
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	cpu, own, took := r.engine.cpu()-cpu, ownCPU()-own, time.Since(began)
	after, err := r.disk.ask("flushes")
	if err != nil {
		return err
	}
	stop()
	workers.Wait()
	lots, err := r.read(ctx)
	if err != nil {
		return err
	}
	r.tell(s, lots, cpu, own, float64(number(after)-number(flushes))/took.Seconds())
	return nil
}

// publish sends events, each for the next few webhooks, through the gateways in turn, at a steady pace.
func (r *loadRun) publish(events int, every time.Duration, hooks []webhook, each int) {
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same in each run
	for i, next := 0, time.Now(); i < events; i++ {
		time.Sleep(time.Until(next))
		at := i * each % len(hooks)
		f := &frame{event: uint64(i), accepted: time.Now(), payload: payload(random, 1)}
		// A webhook's events come through one gateway, so that what is out of order is the log's doing.
		r.tally.publish(r.gateways[at%gateways], f, hooks[at:at+each])
		next = next.Add(every)
	}
}

// drain waits until all is in its lot.
func (r *loadRun) drain(ctx context.Context) error {
	began := time.Now()
	for first := true; ; first = false {
		stream, err := r.js.Stream(ctx, "intake")
		if err != nil {
			return err
		}
		left := stream.CachedInfo().State.Msgs
		if first {
			r.pending = left
		}
		r.tally.mu.Lock()
		unsettled := r.tally.unsettled
		r.tally.mu.Unlock()
		r.drained = time.Since(began)
		if left == 0 && unsettled == 0 || r.drained > drainAtMost || ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// inLots is what was found in the lots.
type inLots struct{ missing, twice, reordered int }

// read compares the lots with what was acknowledged.
func (r *loadRun) read(ctx context.Context) (found inLots, err error) {
	type entry struct {
		uid   [uidBytes]byte
		event uint64
	}
	seen, newest := map[entry]bool{}, map[string]uint64{}
	for n := range r.way.streams {
		err := readAll(ctx, r.js, parkedStream(n), ">", func(m jetstream.Msg, frames []*frame) {
			lot := strings.Split(m.Subject(), ".")[3]
			for _, f := range frames {
				var uid [uidBytes]byte
				_, _ = hex.Decode(uid[:], []byte(lot))
				if seen[entry{uid, f.event}] {
					found.twice++
				} else if f.event < newest[lot] {
					found.reordered++
				}
				seen[entry{uid, f.event}] = true
				newest[lot] = max(newest[lot], f.event)
			}
		})
		if err != nil {
			return found, err
		}
	}
	for event, hooks := range r.tally.acked {
		for _, hook := range hooks {
			if !seen[entry{hook.uid, event}] {
				found.missing++
			}
		}
	}
	return found, nil
}

func (r *loadRun) tell(s *spike, lots inLots, cpu, own time.Duration, flushes float64) {
	var appends, entries, intakeAppends, intakeFrames, failures int64
	for _, g := range r.gateways {
		appends += g.appends.Load()
		entries += g.entries.Load()
		intakeAppends += g.intakeAppends.Load()
		intakeFrames += g.intakeFrames.Load()
		failures += g.failures.Load()
	}
	acks, lags := r.tally.acks, r.tally.lags
	s.report.add(r.scenario, r.way.name,
		figure{"fsync ms", milliseconds(r.disk.probe)}, figure{"flushes/s", flushes},
		figure{"append p50 ms", milliseconds(acks.at(0.5))}, figure{"p99 ms", milliseconds(acks.at(0.99))}, figure{"max ms", milliseconds(acks.at(1))},
		figure{"frames/message", float64(entries) / float64(appends)},
		figure{"intake messages", float64(intakeAppends)}, figure{"frames in one", float64(intakeFrames) / float64(intakeAppends)},
		figure{"log CPU-ms/entry", milliseconds(cpu) / float64(entries)}, figure{"client CPU-ms/entry", milliseconds(own) / float64(entries)},
		figure{"lag p50 ms", milliseconds(lags.at(0.5))}, figure{"lag p99 ms", milliseconds(lags.at(0.99))},
		figure{"intake at end", float64(r.pending)}, figure{"through after s", r.drained.Seconds()},
		figure{"missing", float64(lots.missing)}, figure{"twice", float64(lots.twice)}, figure{"out of order", float64(lots.reordered)},
		figure{"failed", float64(failures)})
	holds := failures == 0 && lots.missing == 0 && acks.at(0.99) <= refusedAfter && r.drained <= drainedWithin
	s.report.judge(r.scenario, holds, "%s: appends p99 %.0f ms (at most %.0f), all in lots %.1f s after the last event (%.0f), %d missing, %d failed",
		r.way.name, milliseconds(acks.at(0.99)), milliseconds(refusedAfter), r.drained.Seconds(), drainedWithin.Seconds(), lots.missing, failures)
}
