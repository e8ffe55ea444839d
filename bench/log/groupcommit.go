// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

const (
	ownPrefix  = "own."  // appends that want to be durable
	ackPrefix  = "ack."  // what the engine answers them
	syncPrefix = "sync." // a stream's name: an answer when it is durable, trims included
)

// groupCommit is the lever: the engine writes without waiting for the disk, and its answers are held back until one
// fdatasync has made durable all that was written meanwhile. It leans on two things that the engine does not promise: that
// with one replica it writes before it acknowledges, and that messages and what removes them are in msgs/*.blk.
type groupCommit struct {
	nc      *nats.Conn
	streams string // folder

	mu     sync.Mutex
	wakeup *sync.Cond
	held   map[string][]*nats.Msg // by stream; Reply is the publisher's, Data the answer
}

func startGroupCommit(engine *server.Server, streams string) error {
	nc, err := nats.Connect("", nats.InProcessServer(engine))
	if err != nil {
		return err
	}
	g := &groupCommit{nc: nc, streams: streams, held: map[string][]*nats.Msg{}}
	g.wakeup = sync.NewCond(&g.mu)
	for subject, handle := range map[string]nats.MsgHandler{
		ownPrefix + ">": g.append, ackPrefix + ">": g.acknowledged,
		syncPrefix + "*": func(m *nats.Msg) { g.hold(strings.TrimPrefix(m.Subject, syncPrefix), m.Reply, nil) },
	} {
		subscription, err := nc.Subscribe(subject, handle)
		if err != nil {
			return err
		}
		if err := subscription.SetPendingLimits(-1, -1); err != nil {
			return err
		}
	}
	go g.run()
	return nc.Flush()
}

// append passes a message on; the engine's answer comes back with the publisher's address in its subject.
func (g *groupCommit) append(m *nats.Msg) {
	_ = g.nc.PublishMsg(&nats.Msg{
		Subject: strings.TrimPrefix(m.Subject, ownPrefix), Reply: ackPrefix + m.Reply, Header: m.Header, Data: m.Data,
	})
}

func (g *groupCommit) acknowledged(m *nats.Msg) {
	var answer struct {
		Stream string `json:"stream"`
	}
	reply := strings.TrimPrefix(m.Subject, ackPrefix)
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Stream == "" {
		_ = g.nc.Publish(reply, m.Data) // refused
		return
	}
	g.hold(answer.Stream, reply, m.Data)
}

func (g *groupCommit) hold(stream, reply string, answer []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[stream] = append(g.held[stream], &nats.Msg{Subject: reply, Data: answer})
	g.wakeup.Signal()
}

// run makes rounds: the streams of a round are flushed side by side, and what comes meanwhile waits for the next.
func (g *groupCommit) run() {
	for {
		g.mu.Lock()
		for len(g.held) == 0 {
			g.wakeup.Wait()
		}
		held := g.held
		g.held = map[string][]*nats.Msg{}
		g.mu.Unlock()
		var flushes sync.WaitGroup
		for stream, answers := range held {
			flushes.Go(func() {
				if err := flush(filepath.Join(g.streams, stream, "msgs")); err != nil {
					return // the publishers' waiting ends with their own timeout
				}
				for _, answer := range answers {
					_ = g.nc.PublishMsg(answer)
				}
			})
		}
		flushes.Wait()
	}
}

// flush makes the newest two blocks durable, into which appends and tombstones go, and the folder's list of files.
func flush(folder string) error {
	blocks, err := filepath.Glob(filepath.Join(folder, "*.blk"))
	if err != nil {
		return err
	}
	slices.SortFunc(blocks, func(a, b string) int { return int(blockNumber(a) - blockNumber(b)) })
	for _, name := range append(slices.Clone(blocks[max(0, len(blocks)-2):]), folder) {
		file, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = unix.Fdatasync(int(file.Fd()))
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func blockNumber(path string) int64 { return number(strings.TrimSuffix(filepath.Base(path), ".blk")) }
