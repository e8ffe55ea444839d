// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Window bounds what is remembered of deliveries that have no object.
type Window struct {
	// For is how long an event id is remembered, if there are not too many.
	For time.Duration
	// Most is how many ids are remembered at most; the latest half always is.
	Most int
}

// window remembers the events that first attempts delivered, so that repeating
// one with its id makes no second attempt. It is kept in two generations, the
// older of which is dropped when the newer one is full or old: nothing is ever
// searched for what to drop. What a generation holds has no pointers, so that a
// million ids cost the garbage collector nothing.
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
	hooks  int32             // who got it: a number of generation.sets
}

type generation struct {
	began  time.Time
	events map[windowKey]pastEvent
	// sets are sets of webhooks, of which there are few: their UIDs, joined.
	sets   []string
	number map[string]int32 // of a set in sets
}

func newGeneration(now time.Time) generation {
	return generation{began: now, events: map[windowKey]pastEvent{}, number: map[string]int32{}}
}

func newWindow(limits Window, now func() time.Time) *window {
	return &window{limits: limits, now: now, newer: newGeneration(now()), older: newGeneration(now()), publishing: map[windowKey]chan struct{}{}}
}

// remember notes that a first attempt has delivered.
func (w *window) remember(f *flight) {
	if w.limits.Most <= 0 || w.limits.For <= 0 {
		return
	}
	key := keyOfEvent(f.draft.webhook.Namespace, f.draft.eventID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn()
	hooks := string(f.draft.webhook.UID)
	if past, known := w.find(key); known != "" && past.digest == f.digest {
		hooks = joined(known, hooks)
	}
	w.newer.events[key] = pastEvent{digest: f.digest, stamp: f.draft.stamp.UnixMilli(), hooks: w.newer.set(hooks)}
}

// joined adds a webhook to a set.
func joined(set, hook string) string {
	if strings.Contains(set, hook) { // UIDs are of one length
		return set
	}
	return set + "," + hook
}

func (g *generation) set(hooks string) int32 {
	n, ok := g.number[hooks]
	if !ok {
		n = int32(len(g.sets)) //nolint:gosec // G115: no more than ids
		g.sets = append(g.sets, hooks)
		g.number[hooks] = n
	}
	return n
}

// turn drops the older generation when it is time.
func (w *window) turn() {
	now := w.now()
	if len(w.newer.events) < (w.limits.Most+1)/2 && now.Sub(w.newer.began) < w.limits.For {
		return
	}
	w.older, w.newer = w.newer, newGeneration(now)
}

// find returns what is remembered of an event, and who got it; "": nothing is.
func (w *window) find(key windowKey) (past pastEvent, hooks string) {
	for _, g := range []*generation{&w.newer, &w.older} {
		if past, ok := g.events[key]; ok {
			return past, g.sets[past.hooks]
		}
	}
	return pastEvent{}, ""
}

// recall returns what is remembered of an event, without the webhooks that got
// it, and these; nil: nothing is.
func (w *window) recall(namespace, eventID string) (*recorded, []types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	past, hooks := w.find(keyOfEvent(namespace, eventID))
	if hooks == "" {
		return nil, nil
	}
	var uids []types.UID
	for uid := range strings.SplitSeq(hooks, ",") {
		uids = append(uids, types.UID(uid))
	}
	return &recorded{namespace: namespace, eventID: eventID, stamp: time.UnixMilli(past.stamp).UTC(), digest: past.digest}, uids
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
