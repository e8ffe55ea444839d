// SPDX-License-Identifier: Apache-2.0

package endpoint

import "container/list"

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
