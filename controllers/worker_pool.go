// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

const (
	// namespaceRestMin and namespaceRestMax bound the wait after a failed write before the
	// next one in the namespace. It doubles with each failure in a row.
	namespaceRestMin = 50 * time.Millisecond
	namespaceRestMax = 2 * time.Second
)

// workerPool shares the workers of a controller between namespaces: failing writes of
// one namespace do not delay the others. Otherwise an admission webhook that does not
// answer would keep every worker waiting, and one that denies would keep them busy.
//
// A namespace has at most three quarters of the workers, beyond that no more than are
// left free. A namespace whose latest write failed is unproven: it has one worker, after
// a rest, and all unproven namespaces share a quarter of the workers. Passes that get no
// worker wait; namespaces take turns, and within one the first to come is the first
// served. It is safe for concurrent use.
type workerPool struct {
	workers       int
	now           func() time.Time
	writeTimeouts *writetimeout.Timeouts // how long a write may take
	// enqueue puts an object whose pass has waited into the controller's queue.
	enqueue func(types.NamespacedName)

	mu           sync.Mutex
	namespaces   map[string]*namespaceWorkers
	busy         int      // workers with a pass
	busyUnproven int      // of these, in unproven namespaces
	waiting      []string // namespaces in which passes wait, next first
}

// namespaceWorkers is the share of one namespace and the state of its writes.
type namespaceWorkers struct {
	busy                int
	queue               []types.NamespacedName // waiting passes, in order, and some that no longer wait
	waiting             map[types.NamespacedName]struct{}
	consecutiveFailures int
	restUntil           time.Time
}

func newWorkerPool(workers int, now func() time.Time, wake func(types.NamespacedName)) *workerPool {
	return &workerPool{workers: workers, now: now, writeTimeouts: writetimeout.New(now), enqueue: wake, namespaces: map[string]*namespaceWorkers{}}
}

// acquire gives a pass over an object a worker, and reports false if it must wait: the
// object is enqueued again when a worker is free.
func (p *workerPool) acquire(object types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.namespace(object.Namespace)
	if !p.hasFreeWorker(n) {
		p.addWaiting(n, object)
		return false
	}
	delete(n.waiting, object)
	n.busy++
	p.busy++
	if n.consecutiveFailures > 0 {
		p.busyUnproven++
	}
	return true
}

// release ends the pass of an object.
func (p *workerPool) release(object types.NamespacedName) {
	p.mu.Lock()
	n := p.namespace(object.Namespace)
	n.busy--
	p.busy--
	if n.consecutiveFailures > 0 {
		p.busyUnproven--
	}
	next := p.takeNext()
	if n.busy == 0 && len(n.queue) == 0 {
		delete(p.namespaces, object.Namespace)
	}
	p.mu.Unlock()
	for _, waiting := range next {
		p.enqueue(waiting)
	}
}

// noteFailure notes that a write of a namespace was refused, failed or took too long, and
// makes the object wait for the end of the rest.
func (p *workerPool) noteFailure(object types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.namespace(object.Namespace)
	if n.consecutiveFailures == 0 {
		p.busyUnproven += n.busy
	}
	rest := min(namespaceRestMin<<min(n.consecutiveFailures, 8), namespaceRestMax)
	n.consecutiveFailures++
	n.restUntil = p.now().Add(rest)
	p.addWaiting(n, object)
	time.AfterFunc(rest, p.resume)
}

// noteSuccess notes that a write of a namespace succeeded.
func (p *workerPool) noteSuccess(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.namespaces[namespace]; n != nil && n.consecutiveFailures > 0 {
		p.busyUnproven -= n.busy
		n.consecutiveFailures, n.restUntil = 0, time.Time{}
	}
}

// resume enqueues waiting passes when a rest is over.
func (p *workerPool) resume() {
	p.mu.Lock()
	next := p.takeNext()
	p.mu.Unlock()
	for _, waiting := range next {
		p.enqueue(waiting)
	}
}

func (p *workerPool) namespace(namespace string) *namespaceWorkers {
	n := p.namespaces[namespace]
	if n == nil {
		n = &namespaceWorkers{waiting: map[types.NamespacedName]struct{}{}}
		p.namespaces[namespace] = n
	}
	return n
}

// hasFreeWorker reports whether a namespace may have one more worker.
func (p *workerPool) hasFreeWorker(n *namespaceWorkers) bool {
	if n.consecutiveFailures > 0 {
		return n.busy == 0 && !p.now().Before(n.restUntil) && p.busyUnproven < max(1, p.workers/4)
	}
	return p.busy < max(1, p.workers*3/4) || n.busy < p.workers-p.busy
}

func (p *workerPool) addWaiting(n *namespaceWorkers, object types.NamespacedName) {
	if _, waits := n.waiting[object]; waits {
		return
	}
	if len(n.queue) == 0 {
		p.waiting = append(p.waiting, object.Namespace)
	}
	n.queue = append(n.queue, object)
	n.waiting[object] = struct{}{}
}

// takeFirst removes and returns the object that has waited longest; false: none waits.
func (n *namespaceWorkers) takeFirst() (object types.NamespacedName, ok bool) {
	for !ok && len(n.queue) > 0 {
		object, n.queue = n.queue[0], n.queue[1:]
		_, ok = n.waiting[object]
		delete(n.waiting, object)
	}
	return object, ok
}

// maxResumed is how many waiting passes one free worker resumes: they acquire it a moment
// later, and each resumes others when it ends.
const maxResumed = 2

// takeNext removes and returns the passes that may go on, from namespaces in turn.
func (p *workerPool) takeNext() (next []types.NamespacedName) {
	for i := 0; i < len(p.waiting) && len(next) < maxResumed; {
		n := p.namespaces[p.waiting[i]]
		if !p.hasFreeWorker(n) {
			i++
			continue
		}
		if object, ok := n.takeFirst(); ok {
			next = append(next, object)
		}
		namespace := p.waiting[i]
		p.waiting = slices.Delete(p.waiting, i, i+1)
		if len(n.queue) > 0 {
			p.waiting = append(p.waiting, namespace)
		}
	}
	return next
}
