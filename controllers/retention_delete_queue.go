// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const (
	// unansweredAfter is how long a failed delete took that counts as unanswered. A
	// refusal is about one delivery and comes at once.
	unansweredAfter = time.Second
	// deleteRestMin and deleteRestMax bound the rest. It doubles with each delete in a
	// row that got no answer.
	deleteRestMin = 2 * time.Second
	deleteRestMax = time.Minute
)

// deleteQueue holds expired deliveries until their deletes have ended, whatever these
// take, so that none waits for the deletes of another namespace, as where an admission
// webhook is slow or hangs. The namespace with the fewest deletes under way is next. One
// namespace has at most three quarters of retentionWorkersMax, beyond that no more than
// are left free. A namespace whose deletes get no answer rests, and one delete probes
// whether they get answers again. The zero queue is empty; it is safe for concurrent use.
type deleteQueue struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceDeletes
	order      []string               // of namespaces with deliveries that wait: the one whose turn was longest ago first
	queued     map[types.UID]struct{} // wait, or are under way
	underWay   int
	begun      int // deletes so far

	workers int
	running sync.WaitGroup
	// workerEnded has a value after a worker has ended.
	workerEnded chan struct{}
}

// namespaceDeletes are the deletes of one namespace.
type namespaceDeletes struct {
	waiting  []*finishedDelivery // the first to come first
	underWay int

	unanswered int // deletes in a row
	restUntil  time.Time
}

// add queues expired deliveries but those that are queued, and returns how many may be
// deleted now: of a resting namespace one.
func (q *deleteQueue) add(entries []*finishedDelivery) (due int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.namespaces == nil {
		q.namespaces, q.queued = map[string]*namespaceDeletes{}, map[types.UID]struct{}{}
		q.workerEnded = make(chan struct{}, 1)
	}
	for _, entry := range entries {
		if _, known := q.queued[entry.uid]; known {
			continue
		}
		q.queued[entry.uid] = struct{}{}
		namespace := entry.key.Namespace
		n := q.namespaces[namespace]
		if n == nil {
			n = &namespaceDeletes{}
			q.namespaces[namespace] = n
		}
		if len(n.waiting) == 0 {
			q.order = append(q.order, namespace)
		}
		n.waiting = append(n.waiting, entry)
	}
	for namespace, n := range q.namespaces {
		switch {
		case len(n.waiting)+n.underWay == 0: // what failed would be here again
			delete(q.namespaces, namespace)
		case n.unanswered > 0:
			due += min(1, len(n.waiting))
		default:
			due += len(n.waiting)
		}
	}
	return due
}

// has reports whether a delivery waits for its delete, or is being deleted.
func (q *deleteQueue) has(uid types.UID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, known := q.queued[uid]
	return known
}

// next begins the next delete; nil: there is none that may begin.
func (q *deleteQueue) next(now time.Time) *finishedDelivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	best := -1
	for i, namespace := range q.order {
		n := q.namespaces[namespace]
		if q.mayBegin(n, now) && (best < 0 || n.underWay < q.namespaces[q.order[best]].underWay) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	namespace := q.order[best]
	n := q.namespaces[namespace]
	entry := n.waiting[0]
	n.waiting[0], n.waiting = nil, n.waiting[1:]
	q.order = slices.Delete(q.order, best, best+1)
	if len(n.waiting) > 0 {
		q.order = append(q.order, namespace)
	}
	n.underWay++
	q.underWay++
	q.begun++
	return entry
}

// mayBegin reports whether one more delete of a namespace may begin.
func (q *deleteQueue) mayBegin(n *namespaceDeletes, now time.Time) bool {
	if n.unanswered > 0 {
		return n.underWay == 0 && !now.Before(n.restUntil) && q.underWay < retentionWorkersMax
	}
	return endpoint.AdmitsAnother(retentionWorkersMax, q.underWay, n.underWay)
}

// end ends a delete that was begun. One that got no answer makes its namespace rest.
func (q *deleteQueue) end(entry *finishedDelivery, unanswered bool, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.namespaces[entry.key.Namespace]
	delete(q.queued, entry.uid)
	n.underWay--
	q.underWay--
	switch {
	case !unanswered:
		n.unanswered, n.restUntil = 0, time.Time{}
	case now.Before(n.restUntil): // it was under way together with the delete that began the rest
	default:
		n.restUntil = now.Add(min(deleteRestMin<<min(n.unanswered, 8), deleteRestMax))
		n.unanswered++
	}
}

// startWorker starts a worker with the next delete; false: none may begin.
func (q *deleteQueue) startWorker(now time.Time, work func(first *finishedDelivery)) bool {
	first := q.next(now)
	if first == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.workers++
	q.running.Go(func() {
		defer q.endWorker()
		work(first)
	})
	return true
}

func (q *deleteQueue) endWorker() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.workers--
	select {
	case q.workerEnded <- struct{}{}:
	default:
	}
}

// counts are how many deletes were begun so far, and how many workers there are.
func (q *deleteQueue) counts() (begun, workers int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.begun, q.workers
}

// wait waits until every worker has ended.
func (q *deleteQueue) wait() { q.running.Wait() }
