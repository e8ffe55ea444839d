// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Window bounds what is remembered of deliveries that have no object.
type Window struct {
	// For is how long an event id is remembered, if there are not too many.
	For time.Duration
	// Most is how many ids are remembered at most, Bytes what they may take in
	// memory; the latest half always is.
	Most  int
	Bytes int64
}

// window remembers the events that first attempts delivered, so that repeating
// one with its id makes no second attempt. It is kept in two generations, the
// older of which is dropped when the newer one is full or old: nothing is ever
// searched for what to drop. What a generation holds of an event has no pointers,
// so that a million ids cost the garbage collector nothing.
type window struct {
	limits Window
	now    func() time.Time

	mu         sync.Mutex
	newer      generation
	older      generation
	publishing map[windowKey]chan struct{} // ids that are being published now
}

// windowKey stands for a namespace and an event id.
type windowKey [16]byte

func keyOfEvent(namespace, eventID string) (key windowKey) {
	sum := sha256.Sum256([]byte(namespace + "/" + eventID))
	copy(key[:], sum[:])
	return key
}

// pastEvent is what is remembered of an event.
type pastEvent struct {
	digest [sha256.Size]byte // of its payload
	stamp  int64             // of its timestamp: Unix milliseconds
	hooks  int32             // who got it: a set of the generation's
}

// pastEventBytes is what an event takes in memory beside its set, about: maps are
// never full.
const pastEventBytes = 112

type generation struct {
	began  time.Time
	events map[windowKey]pastEvent
	sets   *hookSets
}

func newGeneration(now time.Time) generation {
	return generation{began: now, events: map[windowKey]pastEvent{}, sets: newHookSets()}
}

// bytes is what all of it takes in memory, about.
func (g *generation) bytes() int64 { return pastEventBytes*int64(len(g.events)) + g.sets.bytes }

func newWindow(limits Window, now func() time.Time) *window {
	return &window{limits: limits, now: now, newer: newGeneration(now()), older: newGeneration(now()), publishing: map[windowKey]chan struct{}{}}
}

// remember notes that first attempts of one event have delivered.
func (w *window) remember(flights ...*flight) {
	if len(flights) == 0 || w.limits.Most <= 0 || w.limits.Bytes <= 0 || w.limits.For <= 0 {
		return
	}
	first := flights[0]
	key := keyOfEvent(first.draft.webhook.Namespace, first.draft.eventID)
	hooks := make([]types.UID, 0, len(flights))
	for _, f := range flights {
		hooks = append(hooks, f.draft.webhook.UID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn()
	if past, known := w.find(key); known != nil && past.digest == first.digest {
		hooks = append(known, hooks...)
	}
	replaced, again := w.newer.events[key]
	w.newer.events[key] = pastEvent{digest: first.digest, stamp: first.draft.stamp.UnixMilli(), hooks: w.newer.sets.add(hooks)}
	if again {
		w.newer.sets.release(replaced.hooks)
	}
}

// turn drops the older generation when it is time.
func (w *window) turn() {
	now := w.now()
	if len(w.newer.events) < (w.limits.Most+1)/2 && w.newer.bytes() < (w.limits.Bytes+1)/2 && now.Sub(w.newer.began) < w.limits.For {
		return
	}
	w.older, w.newer = w.newer, newGeneration(now)
}

// find returns what is remembered of an event, and who got it; nil: nothing is.
func (w *window) find(key windowKey) (past pastEvent, hooks []types.UID) {
	for _, g := range []*generation{&w.newer, &w.older} {
		if past, ok := g.events[key]; ok {
			return past, g.sets.get(past.hooks)
		}
	}
	return pastEvent{}, nil
}

// recall returns what is remembered of an event, without the webhooks that got
// it, and these; nil: nothing is.
func (w *window) recall(namespace, eventID string) (*recorded, []types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	past, hooks := w.find(keyOfEvent(namespace, eventID))
	if hooks == nil {
		return nil, nil
	}
	return &recorded{namespace: namespace, eventID: eventID, stamp: time.UnixMilli(past.stamp).UTC(), digest: past.digest}, hooks
}

// enter waits until nobody here is publishing the same event id, and keeps others
// from it until leave.
func (w *window) enter(ctx context.Context, namespace, eventID string) (leave func(), err error) {
	key := keyOfEvent(namespace, eventID)
	for {
		w.mu.Lock()
		other := w.publishing[key]
		if other == nil {
			mine := make(chan struct{})
			w.publishing[key] = mine
			w.mu.Unlock()
			return func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(w.publishing, key)
				close(mine)
			}, nil
		}
		w.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
