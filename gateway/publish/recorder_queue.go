// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const (
	// recordQueueSize is how many successes may wait for their record.
	recordQueueSize = 256
	// recordWorkers is how many records are created at once, those of one namespace two at a time.
	recordWorkers = 3
	// recordHangTime is how long a create may hold a slot of recordWorkers. A namespace whose create took longer uses
	// slots of maxHangingRecords until a create is quicker.
	recordHangTime = time.Second
	// maxHangingRecords is how many slots there are for creates that hang, in addition to recordWorkers; one for a
	// namespace.
	maxHangingRecords = 8
)

// recordQueue holds the successes that wait for their record, by namespace. Namespaces take turns, so that none waits
// for an earlier flood of another, and have shares of the slots, so that none waits for creates that hang in another.
// It has no clock and starts no goroutine.
type recordQueue struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceRecords
	order      []string // with successes that wait, next first
	waiting    int
	used       int // of recordWorkers
	hanging    int // of maxHangingRecords
	// changed has a value once the queue is worth another look.
	changed chan struct{}
}

// namespaceRecords is the state of one namespace in the queue.
type namespaceRecords struct {
	waiting []*firstAttempt
	used    int
	hanging int
	// slow says that the last create hung; until throttledUntil no more are started.
	slow           bool
	throttledUntil time.Time
}

// recordWrite is one create under way.
type recordWrite struct {
	attempt   *firstAttempt
	namespace *namespaceRecords
	hanging   bool
	finished  bool
}

func newRecordQueue() *recordQueue {
	return &recordQueue{namespaces: map[string]*namespaceRecords{}, changed: make(chan struct{}, 1)}
}

func (q *recordQueue) notify() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// enqueue adds a success; false: too many wait.
func (q *recordQueue) enqueue(a *firstAttempt) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	namespace := a.draft.webhook.Namespace
	records := q.namespaces[namespace]
	if records == nil {
		records = &namespaceRecords{}
		q.namespaces[namespace] = records
	}
	if !endpoint.AdmitsAnother(recordQueueSize, q.waiting, len(records.waiting)) {
		return false
	}
	if len(records.waiting) == 0 {
		q.order = append(q.order, namespace)
	}
	records.waiting = append(records.waiting, a)
	q.waiting++
	q.notify()
	return true
}

// depth is how many successes of a namespace wait.
func (q *recordQueue) depth(namespace string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if records := q.namespaces[namespace]; records != nil {
		return len(records.waiting)
	}
	return 0
}

// size is how many successes wait.
func (q *recordQueue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// dequeue removes the next success and gives it a slot; nil: there is none, or no slot for it. At the end no namespace
// is throttled.
func (q *recordQueue) dequeue(now time.Time, atEnd bool) *recordWrite {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, namespace := range q.order {
		records := q.namespaces[namespace]
		if !atEnd && now.Before(records.throttledUntil) || !q.hasSlot(records) {
			continue
		}
		write := &recordWrite{attempt: records.waiting[0], namespace: records, hanging: records.slow}
		records.waiting[0], records.waiting = nil, records.waiting[1:]
		q.waiting--
		q.charge(write, 1)
		q.order = append(q.order[:i], q.order[i+1:]...)
		if len(records.waiting) > 0 {
			q.order = append(q.order, namespace)
		}
		return write
	}
	return nil
}

func (q *recordQueue) hasSlot(records *namespaceRecords) bool {
	if records.slow {
		return q.hanging < maxHangingRecords && records.hanging+records.used == 0
	}
	return records.hanging == 0 && endpoint.AdmitsAnother(recordWorkers, q.used, records.used)
}

func (q *recordQueue) charge(write *recordWrite, sign int) {
	if write.hanging {
		q.hanging += sign
		write.namespace.hanging += sign
		return
	}
	q.used += sign
	write.namespace.used += sign
}

// markHanging moves a create that hangs to a slot of its own kind, so that its slot is free for others.
func (q *recordQueue) markHanging(write *recordWrite) {
	q.mu.Lock()
	defer q.mu.Unlock()
	write.namespace.slow = true
	if write.finished || write.hanging || q.hanging >= maxHangingRecords {
		return
	}
	q.charge(write, -1)
	write.hanging = true
	q.charge(write, 1)
	q.notify()
}

// release gives a slot back. The namespace of a create that hung is throttled until the given time.
func (q *recordQueue) release(write *recordWrite, slow bool, rest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.charge(write, -1)
	write.finished = true
	if write.namespace.slow = slow; slow {
		write.namespace.throttledUntil = rest
	}
	q.notify()
}

// sweep forgets namespaces without records that wait or are under way.
func (q *recordQueue) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for namespace, records := range q.namespaces {
		if len(records.waiting) == 0 && records.used == 0 && records.hanging == 0 && now.After(records.throttledUntil) {
			delete(q.namespaces, namespace)
		}
	}
}
