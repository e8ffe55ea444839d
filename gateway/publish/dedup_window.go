// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// DedupLimits bound the dedup window.
type DedupLimits struct {
	// Duration is how long an event id is remembered, if there are not too many.
	Duration time.Duration
	// Events is how many ids are remembered at most, Bytes what they may take in memory. The namespace with most ids
	// forgets its oldest first. A namespace that is alone always keeps the latest half of what fits.
	Events int
	Bytes  int64
}

const (
	// namespaceGenerations is about how many generations the ids of a namespace are in: one generation is forgotten at
	// a time.
	namespaceGenerations = 3
	// maxGenerations bounds that number for a namespace with few ids: a generation takes at least this fraction of
	// DedupLimits.Events.
	maxGenerations = 1024
)

// dedupWindow remembers the events that first attempts delivered, so that publishing one again under its id sends
// nothing. Each namespace has its own generations. Its oldest is dropped when it is old, or when there are too many ids
// and no namespace has more: so a flood of ids pushes out only its own. The entries of a generation have no pointers,
// so that a million ids cost the garbage collector nothing.
type dedupWindow struct {
	limits DedupLimits
	now    func() time.Time

	mu         sync.Mutex
	namespaces map[string]*namespaceWindow
	events     int
	bytes      int64
	lastSweep  time.Time                  // when old generations were last dropped
	inProgress map[dedupKey]chan struct{} // event ids that are being published now
}

// namespaceWindow is the dedup window of one namespace: its generations, the oldest first. New events go into the last
// one.
type namespaceWindow struct {
	generations []*dedupGeneration
	events      int
	bytes       int64
}

// dedupKey is a hash of namespace and event id.
type dedupKey [16]byte

func newDedupKey(namespace, eventID string) (key dedupKey) {
	sum := sha256.Sum256([]byte(namespace + "/" + eventID))
	copy(key[:], sum[:])
	return key
}

// rememberedEvent is an entry of the dedup window.
type rememberedEvent struct {
	digest    [sha256.Size]byte // of its payload
	timestamp int64             // of its payload: Unix milliseconds
	webhooks  int32             // that got it: index of a set in generation.sets
}

const (
	// rememberedEventBytes is about what an event takes in memory without its set: maps are never full.
	rememberedEventBytes = 112
	// generationBytes is what a generation takes without its events.
	generationBytes = 512
)

type dedupGeneration struct {
	began, ended time.Time // ended: zero for the last one
	events       map[dedupKey]rememberedEvent
	sets         *webhookSets
}

// bytes is about what the generation takes in memory.
func (g *dedupGeneration) bytes() int64 {
	return generationBytes + rememberedEventBytes*int64(len(g.events)) + g.sets.bytes
}

// isOld reports whether the generation ended so long ago that all its events may be forgotten.
func (g *dedupGeneration) isOld(after time.Duration, now time.Time) bool {
	return !g.ended.IsZero() && now.Sub(g.ended) >= after
}

func newDedupWindow(limits DedupLimits, now func() time.Time) *dedupWindow {
	return &dedupWindow{limits: limits, now: now, namespaces: map[string]*namespaceWindow{}, inProgress: map[dedupKey]chan struct{}{}}
}

// remember adds first attempts of one event that succeeded.
func (w *dedupWindow) remember(attempts ...*firstAttempt) {
	if len(attempts) == 0 || w.limits.Events <= 0 || w.limits.Bytes <= 0 || w.limits.Duration <= 0 {
		return
	}
	first := attempts[0]
	namespace := first.draft.webhook.Namespace
	key := newDedupKey(namespace, first.draft.eventID)
	uids := make([]types.UID, 0, len(attempts))
	for _, a := range attempts {
		uids = append(uids, a.draft.webhook.UID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.sweep(now)
	for w.events >= w.limits.Events || w.bytes >= w.limits.Bytes {
		w.dropOldest(w.largestNamespace())
	}
	if remembered, knownWebhooks := w.lookUp(namespace, key); knownWebhooks != nil && remembered.digest == first.digest {
		uids = append(knownWebhooks, uids...)
	}
	window, g := w.currentGeneration(namespace, now)
	events, bytes := len(g.events), g.bytes()
	replaced, again := g.events[key]
	g.events[key] = rememberedEvent{digest: first.digest, timestamp: first.draft.timestamp.UnixMilli(), webhooks: g.sets.add(uids)}
	if again {
		g.sets.release(replaced.webhooks)
	}
	w.charge(window, len(g.events)-events, g.bytes()-bytes)
}

// charge counts what a namespace takes more, or less.
func (w *dedupWindow) charge(window *namespaceWindow, events int, bytes int64) {
	window.events += events
	window.bytes += bytes
	w.events += events
	w.bytes += bytes
}

// currentGeneration returns the generation that takes new events of a namespace.
func (w *dedupWindow) currentGeneration(namespace string, now time.Time) (*namespaceWindow, *dedupGeneration) {
	window := w.namespaces[namespace]
	if window == nil {
		window = &namespaceWindow{}
		w.namespaces[namespace] = window
	}
	if n := len(window.generations); n > 0 {
		last := window.generations[n-1]
		if !w.isFull(window, last) && now.Sub(last.began) < w.limits.Duration/2 {
			return window, last
		}
		last.ended = now
	}
	g := &dedupGeneration{began: now, events: map[dedupKey]rememberedEvent{}, sets: newWebhookSets()}
	window.generations = append(window.generations, g)
	w.charge(window, 0, g.bytes())
	return window, g
}

// isFull reports whether the next event of a namespace begins another generation.
func (w *dedupWindow) isFull(window *namespaceWindow, g *dedupGeneration) bool {
	return len(g.events) >= max(1, w.limits.Events/maxGenerations, window.events/namespaceGenerations) ||
		len(g.events) >= (w.limits.Events+1)/2 || g.bytes() >= (w.limits.Bytes+1)/2
}

// sweep drops old generations, now and then: an event is remembered for DedupLimits.Duration, and at most for two and a
// half times as long.
func (w *dedupWindow) sweep(now time.Time) {
	if now.Sub(w.lastSweep) < w.limits.Duration/2 {
		return
	}
	w.lastSweep = now
	for namespace, window := range w.namespaces {
		last := window.generations[len(window.generations)-1]
		if last.ended.IsZero() && now.Sub(last.began) >= w.limits.Duration/2 {
			last.ended = now
		}
		for len(window.generations) > 0 && window.generations[0].isOld(w.limits.Duration, now) {
			w.dropOldest(namespace)
		}
	}
}

// largestNamespace is the namespace that has most of what there is too much of: ids or bytes.
func (w *dedupWindow) largestNamespace() (namespace string) {
	tooMany, most := w.events >= w.limits.Events, int64(-1)
	for name, window := range w.namespaces {
		used := window.bytes
		if tooMany {
			used = int64(window.events)
		}
		if used > most {
			namespace, most = name, used
		}
	}
	return namespace
}

// dropOldest forgets the oldest generation of a namespace.
func (w *dedupWindow) dropOldest(namespace string) {
	window := w.namespaces[namespace]
	oldest := window.generations[0]
	w.charge(window, -len(oldest.events), -oldest.bytes())
	window.generations[0], window.generations = nil, window.generations[1:]
	if len(window.generations) == 0 {
		delete(w.namespaces, namespace)
	}
}

// lookUp returns the entry of an event and the webhooks that got it; nil: the event is not remembered.
func (w *dedupWindow) lookUp(namespace string, key dedupKey) (remembered rememberedEvent, uids []types.UID) {
	window := w.namespaces[namespace]
	if window == nil {
		return rememberedEvent{}, nil
	}
	for _, g := range slices.Backward(window.generations) {
		if remembered, ok := g.events[key]; ok {
			return remembered, g.sets.get(remembered.webhooks)
		}
	}
	return rememberedEvent{}, nil
}

// find returns a remembered event as a delivery without a webhook, and the webhooks that got it; nil: the event is not
// remembered.
func (w *dedupWindow) find(namespace, eventID string) (*store.DeliveryEntry, []types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	remembered, uids := w.lookUp(namespace, newDedupKey(namespace, eventID))
	if uids == nil {
		return nil, nil
	}
	return &store.DeliveryEntry{Namespace: namespace, EventID: eventID, Timestamp: time.UnixMilli(remembered.timestamp).UTC(), Digest: remembered.digest}, uids
}

// lockEventID waits until no other request of this replica publishes the same event id, and keeps others waiting until
// unlock.
func (w *dedupWindow) lockEventID(ctx context.Context, namespace, eventID string) (unlock func(), err error) {
	key := newDedupKey(namespace, eventID)
	for {
		w.mu.Lock()
		other := w.inProgress[key]
		if other == nil {
			mine := make(chan struct{})
			w.inProgress[key] = mine
			w.mu.Unlock()
			return func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(w.inProgress, key)
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
