// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"container/list"
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// waiter waits in a queue for a slot of one webhook.
type waiter struct {
	endpoint *endpointState
	queue    *list.List // the webhook's own queue, or its namespace's in sharedWaitQueue
	element  *list.Element
	ready    chan struct{} // closed when the waiter should try again
}

// sharedWaitQueue holds the waiters whose webhook may have another slot, but which a shared bound holds back: a queue
// for each namespace, and namespaces take turns.
type sharedWaitQueue struct {
	byNamespace map[string]*list.List // of *waiter
	namespaces  []string              // next first; the queue of some may be empty
}

func newSharedWaitQueue() sharedWaitQueue {
	return sharedWaitQueue{byNamespace: map[string]*list.List{}}
}

// push adds a waiter of a namespace.
func (q *sharedWaitQueue) push(namespace string, w *waiter) {
	queue := q.byNamespace[namespace]
	if queue == nil {
		queue = list.New()
		q.byNamespace[namespace] = queue
		q.namespaces = append(q.namespaces, namespace)
	}
	w.queue, w.element = queue, queue.PushBack(w)
}

// pop removes and returns the next waiter that may have a slot; nil: there is none.
func (q *sharedWaitQueue) pop(may func(*endpointState) bool) *waiter {
	for range len(q.namespaces) {
		namespace := q.namespaces[0]
		q.namespaces = q.namespaces[1:]
		queue := q.byNamespace[namespace]
		first := queue.Front()
		if first == nil {
			delete(q.byNamespace, namespace)
			continue
		}
		q.namespaces = append(q.namespaces, namespace)
		if w, _ := first.Value.(*waiter); may(w.endpoint) {
			queue.Remove(first)
			return w
		}
	}
	return nil
}

// enqueue adds a waiter for a slot of a webhook that has none free. It returns nil where waiting is of no use: the
// endpoint is slow or failing, or no attempt is under way whose end would wake the waiter.
func (l *limiter) enqueue(webhook *v1alpha1.Webhook, now time.Time) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.markSlow(now)
	e := l.endpoint(webhook, now)
	if !e.isPrompt(l.slowAfter, now) {
		return nil
	}
	w := &waiter{endpoint: e, ready: make(chan struct{})}
	switch {
	case e.underWay >= l.maxUnderWay(e, now):
		w.queue, w.element = &e.queue, e.queue.PushBack(w)
	case !l.hasFreeSlot(e, now):
		l.queue.push(e.key.namespace, w)
	default: // a slot has become free
		close(w.ready)
	}
	return w
}

// dequeue removes a waiter. If it was woken already, the next one is woken in its place.
func (l *limiter) dequeue(w *waiter, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.element != nil {
		w.queue.Remove(w.element) // no effect if the waiter was woken
	}
	select {
	case <-w.ready:
		l.wakeNext(w.endpoint, now)
	default:
	}
}

// wakeNext wakes as many waiters as there are free slots, now that an attempt has ended: all of the webhook's own queue
// if waiting is of no use any more, and one of those that a shared bound held back.
func (l *limiter) wakeNext(e *endpointState, now time.Time) {
	room := l.maxUnderWay(e, now) - e.underWay
	if !e.isPrompt(l.slowAfter, now) || e.underWay == 0 {
		room = e.queue.Len()
	}
	for ; room > 0 && e.queue.Len() > 0; room-- {
		next, _ := e.queue.Remove(e.queue.Front()).(*waiter)
		close(next.ready)
	}
	may := func(e *endpointState) bool { return e.underWay >= l.maxUnderWay(e, now) || l.hasFreeSlot(e, now) }
	if next := l.queue.pop(may); next != nil {
		close(next.ready)
	}
}

// maxSlotWait is how long a publisher waits for a slot: a quarter of the wait for the answer of an endpoint.
func (f *attempter) maxSlotWait() time.Duration { return f.wait / 4 }

// acquireNow takes a free slot, without waiting.
func (f *attempter) acquireNow(webhook *v1alpha1.Webhook, hasWaiting func(before time.Time) bool) (*slot, refusal) {
	return f.limiter.acquire(webhook, f.now(), hasWaiting)
}

// acquireQueued waits for a slot until ctx ends, where one will be free soon: an attempt a moment later costs less than
// an object. Slots are scarce when a gateway has just started and knows no endpoint yet, and when an event is for more
// webhooks than there are slots.
func (f *attempter) acquireQueued(ctx context.Context) acquireFunc {
	return func(webhook *v1alpha1.Webhook, hasWaiting func(before time.Time) bool) (*slot, refusal) {
		for {
			s, reason := f.acquireNow(webhook, hasWaiting)
			if reason != refusedFull || ctx.Err() != nil {
				return s, reason
			}
			w := f.limiter.enqueue(webhook, f.now())
			if w == nil {
				return f.acquireNow(webhook, hasWaiting)
			}
			select {
			case <-w.ready:
			case <-ctx.Done():
				f.limiter.dequeue(w, f.now())
			}
		}
	}
}
