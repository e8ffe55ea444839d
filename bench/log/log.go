// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	roleLog     = "log"
	memoryLimit = "200MiB"
	// What BACKLOG says of the streams.
	parkedStreams  = 8
	parkedMaxBytes = 4 << 30
	intakeMaxBytes = 1 << 30
	maxConsumers   = 256
	ackWait        = 40 * time.Second
	answerWithin   = 30 * time.Second
)

// The ways to make an append durable.
const (
	syncAlways = "always" // the engine's: an fsync a message, under the stream's lock
	syncOwn    = "own"    // groupcommit.go
	syncTimer  = "timer"  // every 30 s: to fill a store quickly
)

// serveLog is the process of the log: the engine, embedded, and nothing else.
func serveLog(_ context.Context, args []string) error {
	flags := flag.NewFlagSet(roleLog, flag.ContinueOnError)
	store := flags.String("store", "", "folder")
	sync := flags.String("sync", syncAlways, "always, own or timer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	engine, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: *store, JetStreamMaxStore: 13 << 30,
		SyncAlways: *sync == syncAlways, SyncInterval: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	engine.Start()
	if !engine.ReadyForConnections(answerWithin) {
		return errors.New("the engine does not start")
	}
	if *sync == syncOwn {
		if err := startGroupCommit(engine, filepath.Join(*store, "jetstream", "$G", "streams")); err != nil {
			return err
		}
	}
	fmt.Println(engine.ClientURL())
	for bufio.NewScanner(os.Stdin).Scan() {
	}
	engine.Shutdown()
	engine.WaitForShutdown()
	return nil
}

// engine is that process, as seen by what uses it.
type engine struct {
	*process
	prefix string        // goes before the subject of an append
	took   time.Duration // to start
	peak   float64       // RSS in MiB, as seen by watch
}

func (s *spike) startLog(ctx context.Context, store, sync string) (*engine, error) {
	began := time.Now()
	p, err := s.start(ctx, []string{"GOMEMLIMIT=" + memoryLimit}, roleLog, "-store", store, "-sync", sync)
	if err != nil {
		return nil, err
	}
	e := &engine{process: p}
	if sync == syncOwn {
		e.prefix = ownPrefix
	}
	js, nc, err := e.connect()
	if err != nil {
		p.kill()
		return nil, err
	}
	defer nc.Close()
	if _, err := js.AccountInfo(ctx); err != nil {
		p.kill()
		return nil, err
	}
	e.took = time.Since(began)
	return e, nil
}

func (e *engine) connect() (jetstream.JetStream, *nats.Conn, error) {
	nc, err := nats.Connect(e.hello, nats.NoReconnect(), nats.Timeout(answerWithin))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1<<16), jetstream.WithDefaultTimeout(answerWithin))
	return js, nc, err
}

// watch looks at the RSS until the context ends.
func (e *engine) watch(ctx context.Context) {
	e.peak = e.memory("VmRSS")
	for ctx.Err() == nil {
		e.peak = max(e.peak, e.memory("VmRSS"))
		time.Sleep(100 * time.Millisecond)
	}
}

// makeStreams makes what the manager will make. The number of the stream is part of the subject, since no two streams may
// have overlapping ones.
func makeStreams(ctx context.Context, js jetstream.JetStream, parked int) error {
	for n := range parked {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: parkedStream(n), Subjects: []string{fmt.Sprintf("p.%d.>", n)}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: int64(parkedMaxBytes / parked),
			MaxMsgsPerSubject: 1 << 20, DiscardNewPerSubject: true, MaxConsumers: maxConsumers, AllowAtomicPublish: true,
		}); err != nil {
			return err
		}
	}
	intake, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "intake", Subjects: []string{"i.>"}, Storage: jetstream.FileStorage,
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: intakeMaxBytes,
	})
	if err != nil {
		return err
	}
	_, err = intake.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "gateways", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: -1,
	})
	return err
}
