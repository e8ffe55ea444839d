// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"
)

const (
	// recordQueueSize is how many successes may wait for their object.
	recordQueueSize = 256
	// recordWorkers is how many objects of successes are created at once, those of one
	// namespace two at a time.
	recordWorkers = 3
	// recordHangs is how long a create may take before others need not wait for it, nor
	// for the next ones of its namespace, until one is quicker.
	recordHangs = time.Second
	// maxHangingRecords is how many such creates there may be at once beside
	// recordWorkers, one of a namespace.
	maxHangingRecords = 8
)

// recordQueue holds the successes that wait for their object, by namespace. Namespaces
// take turns, so that none waits for what another has put in before, and none has more
// than its share of the slots, so that none waits for what hangs in another. It has
// no clock and starts nothing.
type recordQueue struct {
	mu      sync.Mutex
	spaces  map[string]*recordSpace
	turns   []string // namespaces in which something waits, the next one first
	waiting int
	used    int // of recordWorkers
	hanging int // of maxHangingRecords
	// changed has something once the queue is worth another look.
	changed chan struct{}
}

// recordSpace is what the queue knows of one namespace.
type recordSpace struct {
	waiting []*firstAttempt
	used    int
	hanging int
	// slow says that its last create hung; rest, until when nothing more is created.
	slow bool
	rest time.Time
}

// recordWrite is one create under way.
type recordWrite struct {
	flight  *firstAttempt
	space   *recordSpace
	hanging bool
	over    bool
}

func newRecordQueue() *recordQueue {
	return &recordQueue{spaces: map[string]*recordSpace{}, changed: make(chan struct{}, 1)}
}

func (q *recordQueue) notify() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// put adds a success, unless too many wait.
func (q *recordQueue) put(f *firstAttempt) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	namespace := f.draft.webhook.Namespace
	space := q.spaces[namespace]
	if space == nil {
		space = &recordSpace{}
		q.spaces[namespace] = space
	}
	if !mayTake(recordQueueSize, q.waiting, len(space.waiting)) {
		return false
	}
	if len(space.waiting) == 0 {
		q.turns = append(q.turns, namespace)
	}
	space.waiting = append(space.waiting, f)
	q.waiting++
	q.notify()
	return true
}

// depth is how many successes of a namespace wait.
func (q *recordQueue) depth(namespace string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if space := q.spaces[namespace]; space != nil {
		return len(space.waiting)
	}
	return 0
}

// size is how many successes wait.
func (q *recordQueue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// next takes the success out whose turn it is and gives it a slot; nil: there is none,
// or no slot for it. At the end no namespace rests.
func (q *recordQueue) next(now time.Time, atEnd bool) *recordWrite {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, namespace := range q.turns {
		space := q.spaces[namespace]
		if !atEnd && now.Before(space.rest) || !q.hasSlot(space) {
			continue
		}
		write := &recordWrite{flight: space.waiting[0], space: space, hanging: space.slow}
		space.waiting[0], space.waiting = nil, space.waiting[1:]
		q.waiting--
		q.charge(write, 1)
		q.turns = append(q.turns[:i], q.turns[i+1:]...)
		if len(space.waiting) > 0 {
			q.turns = append(q.turns, namespace)
		}
		return write
	}
	return nil
}

func (q *recordQueue) hasSlot(space *recordSpace) bool {
	if space.slow {
		return q.hanging < maxHangingRecords && space.hanging+space.used == 0
	}
	return space.hanging == 0 && mayTake(recordWorkers, q.used, space.used)
}

func (q *recordQueue) charge(write *recordWrite, sign int) {
	if write.hanging {
		q.hanging += sign
		write.space.hanging += sign
		return
	}
	q.used += sign
	write.space.used += sign
}

// hang notes that a create hangs: its slot is free for others.
func (q *recordQueue) hang(write *recordWrite) {
	q.mu.Lock()
	defer q.mu.Unlock()
	write.space.slow = true
	if write.over || write.hanging || q.hanging >= maxHangingRecords {
		return
	}
	q.charge(write, -1)
	write.hanging = true
	q.charge(write, 1)
	q.notify()
}

// release gives a slot back. The namespace of a create that hung rests until then.
func (q *recordQueue) release(write *recordWrite, slow bool, rest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.charge(write, -1)
	write.over = true
	if write.space.slow = slow; slow {
		write.space.rest = rest
	}
	q.notify()
}

// sweep forgets namespaces of which nothing is under way.
func (q *recordQueue) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for namespace, space := range q.spaces {
		if len(space.waiting) == 0 && space.used == 0 && space.hanging == 0 && now.After(space.rest) {
			delete(q.spaces, namespace)
		}
	}
}
