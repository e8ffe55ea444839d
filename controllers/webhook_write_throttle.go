// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// turnRest is how many times as long as a write took the API server is left
	// alone before the next one, mostTurnRest how long at most.
	turnRest     = 3
	mostTurnRest = time.Second
)

// turns spread writes that can wait. Webhooks that were busy together have
// counters to write in the same moment, and hundreds of writes at once would hold
// up the deliveries of all others. It is safe for concurrent use.
type turns struct {
	mu   sync.Mutex
	took time.Duration // moving average of a write
	free time.Time     // the first turn that nobody has
	due  map[types.NamespacedName]time.Time
}

// wait is how long it is to the turn of a webhook, which is given one if it has
// none; 0: it is its turn.
func (t *turns) wait(webhook types.NamespacedName, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, has := t.due[webhook]
	if !has {
		if t.due == nil {
			t.due = map[types.NamespacedName]time.Time{}
		}
		if at = t.free; at.Before(now) {
			at = now
		}
		t.due[webhook] = at
		t.free = at.Add(t.took + min(turnRest*t.took, mostTurnRest))
	}
	return max(0, at.Sub(now))
}

// written ends the turn of a webhook with how long its write took.
func (t *turns) written(webhook types.NamespacedName, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.due, webhook)
	if t.took == 0 {
		t.took = took
	}
	t.took = (3*t.took + took) / 4
}

// forget ends the turn of a webhook that has nothing to write.
func (t *turns) forget(webhook types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.due, webhook)
}
