// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	runFrames     = 16   // of one lot, before the next lot's
	trimEvery     = 256  // entries
	readAtOnce    = 2048 // entries that one consumer reads
	readLots      = 64   // at once
	idleFor       = 5 * time.Second
	logMemory     = 320  // MiB
	drainedPerS   = 1500 // entries
	restartWithin = 10 * time.Second
)

// readAll passes all messages of a stream that match.
func readAll(ctx context.Context, js jetstream.JetStream, stream, filter string, pass func(jetstream.Msg, []*frame)) error {
	r, err := newReader(ctx, js, stream, filter)
	if err != nil {
		return err
	}
	for {
		got, err := r.next(500)
		if err != nil || len(got) == 0 {
			return err
		}
		for _, m := range got {
			frames, err := decode(m.Data())
			if err != nil {
				return err
			}
			pass(m, frames)
		}
	}
}

// reader reads in order, without acknowledgements, through a consumer in memory.
type reader struct {
	consumer jetstream.Consumer
	last     uint64 // of the consumer's numbers
	left     uint64
}

func newReader(ctx context.Context, js jetstream.JetStream, stream, filter string) (*reader, error) {
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &reader{consumer: consumer, left: consumer.CachedInfo().NumPending}, nil
}

// next returns the next messages, none at the end.
func (r *reader) next(n int) (all []jetstream.Msg, err error) {
	n = min(n, int(r.left)) //nolint:gosec // a test has no 2^63 messages
	if n == 0 {
		return nil, nil
	}
	batch, err := r.consumer.Fetch(n, jetstream.FetchMaxWait(answerWithin))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		about, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		r.last++
		if about.Sequence.Consumer != r.last {
			return nil, fmt.Errorf("message %d of a consumer came as number %d", about.Sequence.Consumer, r.last)
		}
		all = append(all, m)
	}
	if r.left -= uint64(len(all)); len(all) < n {
		return nil, fmt.Errorf("%d of %d messages came: %w", len(all), n, batch.Error())
	}
	return all, nil
}

// drainLot reads a lot to its end, trims it after each 256 entries, and returns how many there were.
func drainLot(ctx context.Context, js jetstream.JetStream, hook webhook, perMessage int, trim bool) (entries int, err error) {
	name := parkedStream(hook.stream)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	var r *reader
	for n := 0; ; n++ {
		if r == nil || trim && n%(readAtOnce/trimEvery) == 0 {
			if r != nil {
				_ = stream.DeleteConsumer(ctx, r.consumer.CachedInfo().Name)
			}
			if r, err = newReader(ctx, js, name, hook.subjects()); err != nil {
				return entries, err
			}
		}
		got, err := r.next(trimEvery / perMessage)
		if err != nil || len(got) == 0 {
			_ = stream.DeleteConsumer(ctx, r.consumer.CachedInfo().Name)
			return entries, err
		}
		for _, m := range got {
			frames, err := decode(m.Data())
			if err != nil {
				return entries, err
			}
			entries += len(frames)
		}
		about, err := got[len(got)-1].Metadata()
		if err != nil {
			return entries, err
		}
		if trim {
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(hook.subjects()), jetstream.WithPurgeSequence(about.Sequence.Stream+1)); err != nil {
				return entries, err
			}
		}
	}
}

// readFigures drains lots, 64 at once, and says what that costs.
func readFigures(ctx context.Context, e *engine, hooks []webhook, perMessage int, trim bool) (entries int, rate float64, all []figure, err error) {
	js, nc, err := e.connect()
	if err != nil {
		return 0, 0, nil, err
	}
	defer nc.Close()
	watching, stop := context.WithCancel(ctx)
	var watcher, readers sync.WaitGroup
	watcher.Go(func() { e.watch(watching) })
	cpu, own, began := e.cpu(), ownCPU(), time.Now()
	var sum, at atomic.Int64
	failures := make(chan error, len(hooks))
	for range readLots {
		readers.Go(func() {
			for i := at.Add(1) - 1; i < int64(len(hooks)); i = at.Add(1) - 1 {
				n, err := drainLot(ctx, js, hooks[i], perMessage, trim)
				sum.Add(int64(n))
				if err != nil {
					failures <- err
				}
			}
		})
	}
	readers.Wait()
	took := time.Since(began)
	stop()
	watcher.Wait()
	entries = int(sum.Load())
	rate = float64(entries) / took.Seconds()
	select {
	case err = <-failures:
	default:
	}
	return entries, rate, []figure{
		{"entries", float64(entries)}, {"entries/s", rate},
		{"log CPU-ms/entry", milliseconds(e.cpu()-cpu) / float64(entries)}, {"client CPU-ms/entry", milliseconds(ownCPU()-own) / float64(entries)},
		{"RSS peak MiB", e.peak}, {"RSS after MiB", e.memory("VmRSS")},
	}, err
}

// fill parks entries for webhooks, lots interleaved in runs.
func fill(ctx context.Context, e *engine, hooks []webhook, streams, entries, perMessage int) error {
	js, nc, err := e.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := makeStreams(ctx, js, streams); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // the same in each run
	payloads := make([][]byte, 4096)
	for i := range payloads {
		payloads[i] = payload(random, 1)
	}
	var event uint64
	var waits []jetstream.PubAckFuture
	for at := 0; event < uint64(entries); at++ { //nolint:gosec // it is positive
		hook := hooks[at%len(hooks)]
		for sent := 0; sent < runFrames; sent += perMessage {
			frames := make([]*frame, perMessage)
			for i := range frames {
				frames[i] = &frame{event: event, accepted: time.Now(), payload: payloads[random.IntN(len(payloads))]}
				event++
			}
			m, _ := message(frames, hook.subject)
			future, err := js.PublishMsgAsync(m)
			if err != nil {
				return err
			}
			waits = append(waits, future)
		}
		if len(waits) < 1000 && event < uint64(entries) { //nolint:gosec // it is positive
			continue
		}
		for _, wait := range waits {
			select {
			case <-wait.Ok():
			case err := <-wait.Err():
				return err
			}
		}
		waits = waits[:0]
	}
	return nil
}

func (s *spike) perMessage() int {
	if s.perFrame {
		return 1
	}
	return runFrames
}

// runRead reads and trims 100 lots.
func (s *spike) runRead(ctx context.Context) error {
	store := filepath.Join(s.dir, "read")
	defer os.RemoveAll(store)
	hooks, entries := webhooks(100, 10, s.streams), s.scaled(400_000)
	s.say("read: %d entries for %d webhooks", entries, len(hooks))
	e, err := s.filled(ctx, store, hooks, entries)
	if err != nil {
		return err
	}
	defer func() { e.kill() }()
	_, _, read, err := readFigures(ctx, e, hooks, s.perMessage(), false)
	if err != nil {
		return err
	}
	s.report.add("read", "64 lots at once, read", read...)
	found, rate, drained, err := readFigures(ctx, e, hooks, s.perMessage(), true)
	if err != nil {
		return err
	}
	s.report.add("read", "64 lots at once, read and trimmed", drained...)
	s.report.judge("read", rate >= drainedPerS && e.peak <= logMemory && found >= entries,
		"%.0f entries/s (at least %d), RSS %.0f MiB (at most %d), %d of %d entries", rate, drainedPerS, e.peak, logMemory, found, entries)
	return nil
}

// filled fills a store with an engine that does not wait for the disk, and starts the one that does.
func (s *spike) filled(ctx context.Context, store string, hooks []webhook, entries int) (*engine, error) {
	e, err := s.startLog(ctx, store, syncTimer)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, e, hooks, s.streams, entries, s.perMessage()); err != nil {
		e.kill()
		return nil, err
	}
	e.stop()
	return s.startLog(ctx, store, syncAlways)
}

// runManyParked looks at memory, disk and starts with millions.
func (s *spike) runManyParked(ctx context.Context) error {
	store := filepath.Join(s.dir, "many-parked")
	defer os.RemoveAll(store)
	hooks, entries := webhooks(1000, 50, s.streams), s.scaled(5_000_000)
	s.say("many-parked: fill with %d entries for %d webhooks", entries, len(hooks))
	e, err := s.startLog(ctx, store, syncTimer)
	if err != nil {
		return err
	}
	defer func() { e.kill() }()
	began := time.Now()
	if err := fill(ctx, e, hooks, s.streams, entries, s.perMessage()); err != nil {
		return err
	}
	rate, largest := float64(entries)/time.Since(began).Seconds(), e.memory("VmHWM")
	tell := func(name string, more ...figure) {
		time.Sleep(idleFor)
		s.say("many-parked: %s", name)
		largest = max(largest, e.memory("VmHWM"))
		s.report.add("many-parked", name, append([]figure{
			{"RSS idle MiB", e.memory("VmRSS")}, {"RSS largest MiB", e.memory("VmHWM")}, {"disk MiB", diskUsed(store)}}, more...)...)
	}
	tell("filled", figure{"entries/s", rate})
	slowest := time.Duration(0)
	restart := func(name string, end func() time.Duration) error {
		stopped := end()
		if e, err = s.startLog(ctx, store, syncAlways); err != nil {
			return err
		}
		slowest = max(slowest, e.took)
		tell(name, figure{"stop s", stopped.Seconds()}, figure{"start s", e.took.Seconds()}, figure{"start CPU s", e.cpu().Seconds()})
		return nil
	}
	killed := func() time.Duration { e.kill(); return 0 }
	if err := restart("kill -9 and start", killed); err != nil {
		return err
	}
	if err := restart("stop and start", func() time.Duration { return e.stop() }); err != nil {
		return err
	}
	s.say("many-parked: drain %d lots", len(hooks)/10)
	_, drained, figures, err := readFigures(ctx, e, hooks[:len(hooks)/10], s.perMessage(), true)
	if err != nil {
		return err
	}
	s.report.add("many-parked", "100 lots drained, 64 at once", figures...)
	tell("idle after it")
	if err := restart("kill -9 and start once more", killed); err != nil {
		return err
	}
	s.report.judge("many-parked", largest <= logMemory && drained >= drainedPerS && slowest <= restartWithin,
		"RSS %.0f MiB (at most %d), %.0f entries/s (at least %d), started in %.1f s (at most %.0f)",
		largest, logMemory, drained, drainedPerS, slowest.Seconds(), restartWithin.Seconds())
	return nil
}

// diskUsed is what a folder takes, in MiB.
func diskUsed(folder string) float64 {
	var blocks int64
	_ = filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				blocks += stat.Blocks
			}
		}
		return nil // a file that has just gone takes nothing
	})
	return float64(blocks) / 2048
}
