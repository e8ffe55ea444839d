// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"container/list"
	"time"
)

// Waiter waits in a queue for a slot of one endpoint.
type Waiter struct {
	// Ready is closed when the waiter should try again.
	Ready chan struct{}

	endpoint *Endpoint
	queue    *list.List // the endpoint's own queue, or its namespace's in sharedWaitQueue
	element  *list.Element
}

// sharedWaitQueue holds the waiters whose endpoint may have another slot, but which a shared bound holds back: a queue
// for each namespace, and namespaces take turns.
type sharedWaitQueue struct {
	byNamespace map[string]*list.List // of *Waiter
	namespaces  []string              // next first; the queue of some may be empty
}

func newSharedWaitQueue() sharedWaitQueue {
	return sharedWaitQueue{byNamespace: map[string]*list.List{}}
}

// push adds a waiter of a namespace.
func (q *sharedWaitQueue) push(namespace string, w *Waiter) {
	queue := q.byNamespace[namespace]
	if queue == nil {
		queue = list.New()
		q.byNamespace[namespace] = queue
		q.namespaces = append(q.namespaces, namespace)
	}
	w.queue, w.element = queue, queue.PushBack(w)
}

// pop removes and returns the next waiter that may have a slot; nil: there is none.
func (q *sharedWaitQueue) pop(may func(*Endpoint) bool) *Waiter {
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
		if w, _ := first.Value.(*Waiter); may(w.endpoint) {
			queue.Remove(first)
			return w
		}
	}
	return nil
}

func (q *sharedWaitQueue) len() (n int) {
	for _, queue := range q.byNamespace {
		n += queue.Len()
	}
	return n
}

// Enqueue adds a waiter for a slot of an endpoint that has none free. It returns nil where waiting is of no use: the
// endpoint is slow or failing. Call MarkSlow before.
func (l *Limiter) Enqueue(e *Endpoint, now time.Time) *Waiter {
	if !e.mayWait(&l.rules, now) {
		return nil
	}
	w := &Waiter{endpoint: e, Ready: make(chan struct{})}
	switch {
	case e.underWay >= e.MaxUnderWay(&l.rules, now):
		w.queue, w.element = &e.queue, e.queue.PushBack(w)
	case !l.hasRoom(e, l.share(e, now)):
		l.queue.push(e.namespace.name, w)
	default: // a slot has become free
		close(w.Ready)
	}
	return w
}

// mayWait reports whether attempts to the endpoint are likely to end soon.
func (e *Endpoint) mayWait(r *Rules, now time.Time) bool {
	return e.CircuitState(now) == Closed && e.isPrompt(r)
}

// Dequeue removes a waiter that does not take a slot. If it was woken already, the next one is woken in its place.
func (l *Limiter) Dequeue(w *Waiter, now time.Time) {
	if w.element != nil {
		w.queue.Remove(w.element) // no effect if the waiter was woken
	}
	select {
	case <-w.Ready:
		l.wakeNext(w.endpoint, now)
	default:
	}
}

// wakeNext wakes as many waiters as there are free slots, now that an attempt has ended: all of the endpoint's own queue
// if waiting is of no use any more, and one of those that a shared bound held back.
func (l *Limiter) wakeNext(e *Endpoint, now time.Time) {
	if e.queue.Len() > 0 {
		room := e.MaxUnderWay(&l.rules, now) - e.underWay
		if !e.mayWait(&l.rules, now) || e.underWay == 0 {
			room = e.queue.Len()
		}
		for ; room > 0 && e.queue.Len() > 0; room-- {
			next, _ := e.queue.Remove(e.queue.Front()).(*Waiter)
			close(next.Ready)
		}
	}
	if len(l.queue.namespaces) == 0 {
		return
	}
	may := func(e *Endpoint) bool {
		return e.underWay >= e.MaxUnderWay(&l.rules, now) || l.hasRoom(e, l.share(e, now))
	}
	if next := l.queue.pop(may); next != nil {
		close(next.Ready)
	}
}

// Waiting is how many waiters an endpoint has of its own, and how many wait for a bound that webhooks share.
func (l *Limiter) Waiting(e *Endpoint) (own, shared int) { return e.queue.Len(), l.queue.len() }
