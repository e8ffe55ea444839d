// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	powerRounds  = 5
	powerSeconds = 4
	powerFsync   = 2 * time.Millisecond
)

// The ways an engine ends.
const (
	byKill     = "kill -9"
	byPower    = "power"
	afterwards = "power after an append" // to the stream that was trimmed
)

// state is what a message must be after the engine has ended.
type state int

const (
	kept     state = iota // its append was confirmed
	removing              // its removal was asked for: either is right
	removed               // its removal was confirmed
)

// ledger is what the engine has confirmed, by stream and sequence.
type ledger struct {
	mu     sync.Mutex
	ended  bool
	states map[string]map[uint64]state
}

// set records a confirmation that came before the end.
func (l *ledger) set(stream string, to state, sequences ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if l.states[stream] == nil {
		l.states[stream] = map[uint64]state{}
	}
	for _, sequence := range sequences {
		if to != kept || l.states[stream][sequence] == kept { // a worker may be quicker than the answer to the append
			l.states[stream][sequence] = to
		}
	}
}

// broken counts what was promised and what of it did not hold.
type broken struct{ kept, lost, removed, back int }

func (b *broken) add(o broken) {
	*b = broken{b.kept + o.kept, b.lost + o.lost, b.removed + o.removed, b.back + o.back}
}

func (b *broken) String() string {
	return fmt.Sprintf("%d of %d appends lost, %d of %d removed messages came back", b.lost, b.kept, b.back, b.removed)
}

func (b *broken) figures() []figure {
	return []figure{{"kept", float64(b.kept)}, {"lost", float64(b.lost)}, {"removed", float64(b.removed)}, {"came back", float64(b.back)}}
}

// compare looks for what was confirmed in one stream.
func (l *ledger) compare(ctx context.Context, c *client, stream string) (found broken, err error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return found, err
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return found, err
	}
	deleted := map[uint64]bool{}
	for _, sequence := range info.State.Deleted {
		deleted[sequence] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for sequence, state := range l.states[stream] {
		there := sequence >= info.State.FirstSeq && sequence <= info.State.LastSeq && !deleted[sequence]
		switch {
		case state == kept:
			found.add(broken{kept: 1})
			if !there {
				found.lost++
			}
		case state == removed:
			found.add(broken{removed: 1})
			if there {
				found.back++
			}
		}
	}
	return found, nil
}

// powerBench is an engine on a disk of its own, and a client that does what gateways and managers do, durably.
type powerBench struct {
	*ledger
	*client
	disk *disk
}

func (s *spike) newPowerBench(ctx context.Context, sync string, fsync time.Duration) (b *powerBench, err error) {
	b = &powerBench{ledger: &ledger{states: map[string]map[uint64]state{}}}
	if b.disk, err = s.newDisk(ctx, fsync); err != nil {
		return nil, err
	}
	if b.client, err = s.newClient(ctx, b.disk.store, sync); err != nil {
		b.disk.remove()
		return nil, err
	}
	if err = makeStreams(ctx, b.js, parkedStreams); err == nil {
		err = b.disk.sync() // without SyncAlways the engine's own way to keep a stream's settings is its timer
	}
	if err != nil {
		b.close()
	}
	return b, err
}

func (b *powerBench) close() {
	b.client.close()
	b.disk.remove()
}

// end ends the engine in one of the ways, starts one on what is left, and compares.
func (s *spike) end(ctx context.Context, b *powerBench, sync, fate string) (inLots, inIntake broken, err error) {
	b.mu.Lock()
	err = b.engine.Process.Signal(syscall.SIGSTOP)
	b.ended = true
	b.mu.Unlock()
	if err != nil {
		return inLots, inIntake, err
	}
	store := b.disk.store
	if fate != byKill {
		left, err := b.disk.cut()
		if err != nil {
			return inLots, inIntake, err
		}
		defer left.remove()
		store = left.store
	}
	b.engine.kill()
	after, err := s.newClient(ctx, store, sync)
	if err != nil {
		return inLots, inIntake, err
	}
	defer after.close()
	for n := range parkedStreams {
		one, err := b.compare(ctx, after, parkedStream(n))
		if err != nil {
			return inLots, inIntake, err
		}
		inLots.add(one)
	}
	inIntake, err = b.compare(ctx, after, "intake")
	return inLots, inIntake, err
}

// runPower loses the power under load, and right after each kind of trim.
func (s *spike) runPower(ctx context.Context) error {
	for _, sync := range []string{syncAlways, syncOwn} {
		var inLots, inIntake broken
		for n := range s.scaled(powerRounds) {
			s.say("power: %s, cut %d under load", sync, n+1)
			lots, intake, err := s.cutUnderLoad(ctx, sync)
			if err != nil {
				return err
			}
			inLots.add(lots)
			inIntake.add(intake)
		}
		s.report.add("power", sync+", under load: lots", inLots.figures()...)
		s.report.add("power", sync+", under load: intake", inIntake.figures()...)
		s.report.judge("power", inLots.lost+inLots.back+inIntake.lost+inIntake.back == 0,
			"%s, power under load: lots: %s; intake: %s", sync, &inLots, &inIntake)
		if err := s.cutAfterTrims(ctx, sync); err != nil {
			return err
		}
	}
	return nil
}

// cutUnderLoad appends, acknowledges and trims until the power goes.
func (s *spike) cutUnderLoad(ctx context.Context, sync string) (inLots, inIntake broken, err error) {
	b, err := s.newPowerBench(ctx, sync, powerFsync)
	if err != nil {
		return inLots, inIntake, err
	}
	defer b.close()
	loading, stop := context.WithCancel(ctx)
	defer stop()
	perStream := map[int][]webhook{}
	for _, hook := range webhooks(64, 4, parkedStreams) {
		perStream[hook.stream] = append(perStream[hook.stream], hook)
	}
	for stream, hooks := range perStream {
		go b.park(loading, parkedStream(stream), hooks)
	}
	for range 4 {
		go b.accept(loading)
		go b.work(loading)
	}
	time.Sleep(powerSeconds * time.Second)
	return s.end(ctx, b, sync, byPower)
}

// park appends to the lots of a stream in turn, and trims each from time to time. It waits for each answer.
func (b *powerBench) park(ctx context.Context, stream string, hooks []webhook) {
	data := make([]byte, 2<<10)
	sequences := map[int][]uint64{}
	for i := 1; ctx.Err() == nil; i++ {
		at := i % len(hooks)
		sequence, err := b.append(ctx, hooks[at].subject(len(data)), data)
		if err != nil {
			continue
		}
		b.set(stream, kept, sequence)
		if sequences[at] = append(sequences[at], sequence); i%20 != 0 {
			continue
		}
		b.set(stream, removing, sequences[at]...)
		if b.purge(ctx, stream, jetstream.WithPurgeSubject(hooks[at].subjects()), jetstream.WithPurgeSequence(sequence+1)) == nil {
			b.set(stream, removed, sequences[at]...)
		}
		delete(sequences, at)
	}
}

// accept appends to intake.
func (b *powerBench) accept(ctx context.Context) {
	for ctx.Err() == nil {
		if sequence, err := b.append(ctx, "i.tenant", make([]byte, 2<<10)); err == nil {
			b.set("intake", kept, sequence)
		}
	}
}

// work acknowledges what is in intake, and waits for each answer.
func (b *powerBench) work(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := b.ack(ctx, b.ledger, 8); err != nil {
			return
		}
	}
}
