// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
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

// unit is scenarios that run together, because they are compared.
type unit struct {
	names []string
	// timeout is how long they may take.
	timeout func(size) time.Duration
	run     func(context.Context, *round) error
}

// units are in the order in which they run.
func units() []unit {
	return []unit{
		{[]string{"ceiling", "durable"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runDurable},
		{[]string{"forwarder", "inline"}, func(s size) time.Duration { return s.timeout(5 * time.Minute) }, runInline},
		{[]string{"latency"}, func(s size) time.Duration { return s.timeout(4 * time.Minute) }, runLatency},
		{[]string{"isolation"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runIsolation},
		{[]string{"backlog"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runBacklog},
		{[]string{"outage"}, func(s size) time.Duration { return s.timeout(5 * time.Minute) }, runOutage},
		{[]string{"crash", "soak"}, func(s size) time.Duration { return s.timeout(14 * time.Minute) }, runLong},
	}
}

func scenarioNames() []string {
	var names []string
	for _, u := range units() {
		names = append(names, u.names...)
	}
	return names
}

// round is one run of a unit.
type round struct {
	b      *bench
	chosen []string

	mu        sync.Mutex
	scenarios map[string]*report.Scenario
}

// wants reports whether a scenario was asked for.
func (r *round) wants(name string) bool { return slices.Contains(r.chosen, name) }

// scenario is where the figures of a scenario go.
func (r *round) scenario(name string) *report.Scenario {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scenarios[name] == nil {
		r.scenarios[name] = report.New(name)
	}
	return r.scenarios[name]
}

// figures are what one repetition found, by name.
type figures map[string]float64

// record takes the median of each figure over repetitions, but the sum of what
// must not happen even once.
func record(s *report.Scenario, repetitions []figures) {
	all := map[string][]float64{}
	for _, one := range repetitions {
		for name, value := range one {
			all[name] = append(all[name], value)
		}
	}
	for name, values := range all {
		switch name {
		case report.Missing, report.Duplicates:
			var sum float64
			for _, value := range values {
				sum += value
			}
			s.Set(name, sum)
		default:
			s.Set(name, stats.Median(values))
		}
	}
}

// nothingLost is required of every scenario without crashes.
func nothingLost(s *report.Scenario) {
	s.AtMost("deliveries missing", s.Figures[report.Missing], 0)
	s.AtMost("duplicates", s.Figures[report.Duplicates], 0)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// poll repeats done until it says so, fails, or readyWithin is over.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	return pollFor(ctx, readyWithin, what, done)
}

func pollFor(ctx context.Context, within time.Duration, what string, done func() (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, pollEvery, within, true, func(context.Context) (bool, error) { return done() })
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}
