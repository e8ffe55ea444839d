// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// throttleRestFactor times the latency of a write is the rest before the next write,
	// throttleRestMax at most.
	throttleRestFactor = 3
	throttleRestMax    = time.Second
)

// counterThrottle spreads the writes of counters. Webhooks that were busy together have
// counters to write in the same moment, and hundreds of writes at once would delay the
// deliveries of all others. It is safe for concurrent use.
type counterThrottle struct {
	mu             sync.Mutex
	latencyAverage time.Duration // of a write, moving
	nextFree       time.Time     // first time without a planned write
	due            map[types.NamespacedName]time.Time
}

// delay returns how long a webhook's write waits, and plans the write if it is not
// planned yet; 0: now.
func (t *counterThrottle) delay(webhook types.NamespacedName, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, has := t.due[webhook]
	if !has {
		if t.due == nil {
			t.due = map[types.NamespacedName]time.Time{}
		}
		if at = t.nextFree; at.Before(now) {
			at = now
		}
		t.due[webhook] = at
		t.nextFree = at.Add(t.latencyAverage + min(throttleRestFactor*t.latencyAverage, throttleRestMax))
	}
	return max(0, at.Sub(now))
}

// finish ends the planned write of a webhook, which took that long.
func (t *counterThrottle) finish(webhook types.NamespacedName, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.due, webhook)
	if t.latencyAverage == 0 {
		t.latencyAverage = took
	}
	t.latencyAverage = (3*t.latencyAverage + took) / 4
}

// cancel drops the planned write of a webhook that has nothing to write.
func (t *counterThrottle) cancel(webhook types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.due, webhook)
}

// counterDelay is how long the write of a webhook's counters waits.
func (r *WebhookReconciler) counterDelay(webhook types.NamespacedName, now time.Time) time.Duration {
	last, _ := r.lastWrites.Load(webhook)
	lastWrite, _ := last.(time.Time)
	if wait := statusInterval - now.Sub(lastWrite); wait > 0 {
		return wait
	}
	return r.counterThrottle.delay(webhook, now)
}
