// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Window bounds what is remembered of deliveries that have no object.
type Window struct {
	// For is how long an event id is remembered, if there are not too many.
	For time.Duration
	// Most is how many ids are remembered at most, Bytes what they may take in
	// memory. Of the namespace that has most, the oldest are forgotten first; the
	// latest half of what all may have always is remembered where only one has any.
	Most  int
	Bytes int64
}

const (
	// spaceGenerations is in how many generations the ids of a namespace are, about:
	// a part of them is forgotten at a time.
	spaceGenerations = 3
	// mostGenerations bounds that number where a namespace has few ids: a generation has
	// at least so small a part of Window.Most.
	mostGenerations = 1024
)

// window remembers the events that first attempts delivered, so that repeating
// one with its id makes no second attempt. Each namespace has generations of its own,
// the oldest of which is dropped when it is old, or when there are too many ids and no
// namespace has more: so a flood of ids pushes out its own. What a generation holds of
// an event has no pointers, so that a million ids cost the garbage collector nothing.
type window struct {
	limits Window
	now    func() time.Time

	mu         sync.Mutex
	spaces     map[string]*spaceWindow
	events     int
	bytes      int64
	swept      time.Time                   // when namespaces were last looked through for what is old
	publishing map[windowKey]chan struct{} // ids that are being published now
}

// spaceWindow is what is remembered of one namespace: in generations, the oldest first.
// Events are remembered in the last one.
type spaceWindow struct {
	generations []*generation
	events      int
	bytes       int64
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

const (
	// pastEventBytes is what an event takes in memory beside its set, about: maps are
	// never full.
	pastEventBytes = 112
	// generationBytes is what a generation takes beside its events.
	generationBytes = 512
)

type generation struct {
	began, ended time.Time // ended: of one that is not the last
	events       map[windowKey]pastEvent
	sets         *hookSets
}

// bytes is what all of it takes in memory, about.
func (g *generation) bytes() int64 {
	return generationBytes + pastEventBytes*int64(len(g.events)) + g.sets.bytes
}

// isOld reports whether all of it was remembered for so long.
func (g *generation) isOld(after time.Duration, now time.Time) bool {
	return !g.ended.IsZero() && now.Sub(g.ended) >= after
}

func newWindow(limits Window, now func() time.Time) *window {
	return &window{limits: limits, now: now, spaces: map[string]*spaceWindow{}, publishing: map[windowKey]chan struct{}{}}
}

// remember notes that first attempts of one event have delivered.
func (w *window) remember(flights ...*firstAttempt) {
	if len(flights) == 0 || w.limits.Most <= 0 || w.limits.Bytes <= 0 || w.limits.For <= 0 {
		return
	}
	first := flights[0]
	namespace := first.draft.webhook.Namespace
	key := keyOfEvent(namespace, first.draft.eventID)
	hooks := make([]types.UID, 0, len(flights))
	for _, f := range flights {
		hooks = append(hooks, f.draft.webhook.UID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.sweep(now)
	for w.events >= w.limits.Most || w.bytes >= w.limits.Bytes {
		w.dropOldest(w.largest())
	}
	if past, known := w.find(namespace, key); known != nil && past.digest == first.digest {
		hooks = append(known, hooks...)
	}
	space, g := w.open(namespace, now)
	events, bytes := len(g.events), g.bytes()
	replaced, again := g.events[key]
	g.events[key] = pastEvent{digest: first.digest, stamp: first.draft.stamp.UnixMilli(), hooks: g.sets.add(hooks)}
	if again {
		g.sets.release(replaced.hooks)
	}
	w.charge(space, len(g.events)-events, g.bytes()-bytes)
}

// charge counts what a namespace has more, or less.
func (w *window) charge(space *spaceWindow, events int, bytes int64) {
	space.events += events
	space.bytes += bytes
	w.events += events
	w.bytes += bytes
}

// open returns the generation in which the events of a namespace are remembered now.
func (w *window) open(namespace string, now time.Time) (*spaceWindow, *generation) {
	space := w.spaces[namespace]
	if space == nil {
		space = &spaceWindow{}
		w.spaces[namespace] = space
	}
	if n := len(space.generations); n > 0 {
		last := space.generations[n-1]
		if !w.isFull(space, last) && now.Sub(last.began) < w.limits.For/2 {
			return space, last
		}
		last.ended = now
	}
	g := &generation{began: now, events: map[windowKey]pastEvent{}, sets: newHookSets()}
	space.generations = append(space.generations, g)
	w.charge(space, 0, g.bytes())
	return space, g
}

// isFull reports whether the next event of a namespace begins a generation.
func (w *window) isFull(space *spaceWindow, g *generation) bool {
	return len(g.events) >= max(1, w.limits.Most/mostGenerations, space.events/spaceGenerations) ||
		len(g.events) >= (w.limits.Most+1)/2 || g.bytes() >= (w.limits.Bytes+1)/2
}

// sweep drops what is old, now and then: an event is remembered for as long as it
// should be, and for twice and a half as long at most.
func (w *window) sweep(now time.Time) {
	if now.Sub(w.swept) < w.limits.For/2 {
		return
	}
	w.swept = now
	for namespace, space := range w.spaces {
		last := space.generations[len(space.generations)-1]
		if last.ended.IsZero() && now.Sub(last.began) >= w.limits.For/2 {
			last.ended = now
		}
		for len(space.generations) > 0 && space.generations[0].isOld(w.limits.For, now) {
			w.dropOldest(namespace)
		}
	}
}

// largest is the namespace that has most of what there is too much of.
func (w *window) largest() (namespace string) {
	tooMany, most := w.events >= w.limits.Most, int64(-1)
	for name, space := range w.spaces {
		used := space.bytes
		if tooMany {
			used = int64(space.events)
		}
		if used > most {
			namespace, most = name, used
		}
	}
	return namespace
}

// dropOldest forgets the oldest generation of a namespace.
func (w *window) dropOldest(namespace string) {
	space := w.spaces[namespace]
	oldest := space.generations[0]
	w.charge(space, -len(oldest.events), -oldest.bytes())
	space.generations[0], space.generations = nil, space.generations[1:]
	if len(space.generations) == 0 {
		delete(w.spaces, namespace)
	}
}

// find returns what is remembered of an event, and who got it; nil: nothing is.
func (w *window) find(namespace string, key windowKey) (past pastEvent, hooks []types.UID) {
	space := w.spaces[namespace]
	if space == nil {
		return pastEvent{}, nil
	}
	for _, g := range slices.Backward(space.generations) {
		if past, ok := g.events[key]; ok {
			return past, g.sets.get(past.hooks)
		}
	}
	return pastEvent{}, nil
}

// recall returns what is remembered of an event, without the webhooks that got
// it, and these; nil: nothing is.
func (w *window) recall(namespace, eventID string) (*deliveryEntry, []types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	past, hooks := w.find(namespace, keyOfEvent(namespace, eventID))
	if hooks == nil {
		return nil, nil
	}
	return &deliveryEntry{namespace: namespace, eventID: eventID, timestamp: time.UnixMilli(past.stamp).UTC(), digest: past.digest}, hooks
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
