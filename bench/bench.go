// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// readyWithin is how long a process, or webhooks, may take to become ready.
	readyWithin = 90 * time.Second
	pollEvery   = 100 * time.Millisecond
	// kib is the usual payload.
	kib = 1 << 10
	// publishers is how many publish at once where nothing else is said.
	publishers = 32
)

// bench is a run of the benchmark.
type bench struct {
	self     string // this program
	dir      string // logs
	binaries stack.Binaries
	size     size
	profiles string // folder; empty: none
	began    time.Time
	capacity float64 // inline, deliveries a second; 0: not measured in this run

	mu     sync.Mutex
	serial int
	run    int
}

func newBench(ctx context.Context, s size, profiles string) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{self: self, dir: dir, size: s, profiles: profiles, began: time.Now()}
	if profiles != "" {
		if err := os.MkdirAll(profiles, 0o755); err != nil { //nolint:gosec // of the caller's own
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if b.binaries, err = stack.Build(ctx, dir, func(text string) { b.say("%s", text) }); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) } // what is left in a temporary folder harms nobody

// say tells people what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// nextRun numbers runs of the load.
func (b *bench) nextRun() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run = b.run%event.MaxRun + 1
	return b.run
}
