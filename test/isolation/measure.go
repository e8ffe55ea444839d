// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// arriveWithin is how long a delivery to a healthy webhook may take before the
// measurement fails as a whole.
const arriveWithin = 2 * time.Minute

// Times are how long deliveries took from the moment the API server was asked
// to create them, each in ascending order.
type Times struct {
	// Created: until the API server had answered, which no design of ours changes.
	Created []time.Duration
	// Posted: until the POST had arrived.
	Posted []time.Duration
}

// clock knows when each delivery was created and when it arrived first.
type clock struct {
	mu      sync.Mutex
	began   map[string]time.Time
	created map[string]time.Duration
	took    map[string]time.Duration
}

func newClock() *clock {
	return &clock{began: map[string]time.Time{}, created: map[string]time.Duration{}, took: map[string]time.Duration{}}
}

func (c *clock) start(eventID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began[eventID] = time.Now()
}

func (c *clock) answered(eventID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.created[eventID] = time.Since(c.began[eventID])
}

func (c *clock) arrived(one receiver.Received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.took[one.EventID]; !again {
		c.took[one.EventID] = one.At.Sub(c.began[one.EventID])
	}
}

// all returns how long each took, once all are there.
func (c *clock) all(eventIDs []string) (times Times, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range eventIDs {
		took, ok := c.took[id]
		if !ok {
			return Times{}, false
		}
		times.Posted = append(times.Posted, took)
		times.Created = append(times.Created, c.created[id])
	}
	slices.Sort(times.Posted)
	slices.Sort(times.Created)
	return times, true
}

// Paced creates deliveries at a steady rate, to one healthy webhook after the
// other, and returns how long they took once all have arrived.
func (w *World) Paced(ctx context.Context, n int, every time.Duration) (Times, error) {
	ids := w.names("paced", n)
	errs := make(chan error, n)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i, id := range ids {
		go func() { errs <- w.create(ctx, i, id) }() // a slow one must not hold up the next
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Times{}, ctx.Err()
		}
	}
	for range ids {
		if err := <-errs; err != nil {
			return Times{}, err
		}
	}
	return w.arrivals(ctx, ids)
}

// Burst creates deliveries to all healthy webhooks as fast as the API server
// takes them and returns how many arrived a second, from the first creation to
// the last POST.
func (w *World) Burst(ctx context.Context, n int) (float64, error) {
	ids := w.names("burst", n)
	began := time.Now()
	if err := inParallel(n, func(i int) error { return w.create(ctx, i, ids[i]) }); err != nil {
		return 0, err
	}
	if _, err := w.arrivals(ctx, ids); err != nil {
		return 0, err
	}
	return float64(n) / w.clock.last(ids).Sub(began).Seconds(), nil
}

// last is when the last of them arrived.
func (c *clock) last(eventIDs []string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last time.Time
	for _, id := range eventIDs {
		if at := c.began[id].Add(c.took[id]); at.After(last) {
			last = at
		}
	}
	return last
}

func (w *World) create(ctx context.Context, i int, eventID string) error {
	w.clock.start(eventID)
	if err := w.stack.Client.Create(ctx, delivery(w.healthy[i%len(w.healthy)], eventID)); err != nil {
		return fmt.Errorf("create a delivery to a healthy webhook: %w", err)
	}
	w.clock.answered(eventID)
	return nil
}

func (w *World) arrivals(ctx context.Context, ids []string) (times Times, err error) {
	err = poll(ctx, arriveWithin, fmt.Sprintf("%d deliveries to healthy webhooks", len(ids)), func() (bool, error) {
		var all bool
		times, all = w.clock.all(ids)
		return all, nil
	})
	return times, err
}

func (w *World) names(kind string, n int) []string {
	w.serial++
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d-%d", kind, w.serial, i)
	}
	return ids
}

// Percentile returns the p-th percentile, p from 0 to 100, of times in ascending
// order: the smallest that so many percent do not exceed.
func Percentile(times []time.Duration, p int) time.Duration {
	return times[max(0, (len(times)*p+99)/100-1)]
}
