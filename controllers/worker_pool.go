// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/writelimit"
)

const (
	// homeRestMin and homeRestMax bound the wait after a write failed before the next
	// one in the namespace. It doubles with each failure in a row.
	homeRestMin = 50 * time.Millisecond
	homeRestMax = 2 * time.Second
)

// homes share the workers of a controller out between namespaces: what one namespace
// makes of its own writes holds up nobody else. An admission webhook that does not
// answer would else keep every worker waiting, and one that denies would keep them
// busy.
//
// A namespace has at most three quarters of the workers, beyond that no more than are
// left free. One whose latest write failed is doubted: it has one worker, after a
// rest, and all that are doubted have a quarter of the workers between them. Passes
// that find no place wait for one; namespaces take turns, and within one who came
// first is first. It is safe for concurrent use.
type homes struct {
	workers int
	now     func() time.Time
	limits  *writelimit.Limits // how long a write may take
	// wake puts a pass that has waited into the queue.
	wake func(types.NamespacedName)

	mu       sync.Mutex
	all      map[string]*home
	using    int      // workers that have a place
	doubting int      // of these, in namespaces that are doubted
	turns    []string // namespaces in which passes wait, next first
}

// home is what is known of the writes of one namespace.
type home struct {
	using    int
	line     []types.NamespacedName // passes that wait, in order, and some that do no more
	waiting  map[types.NamespacedName]struct{}
	failures int       // in a row
	rests    time.Time // until then
}

func newHomes(workers int, now func() time.Time, wake func(types.NamespacedName)) *homes {
	return &homes{workers: workers, now: now, limits: writelimit.New(now), wake: wake, all: map[string]*home{}}
}

// begin gives a pass over an object its place, and reports false if it must wait: it
// is put into the queue again when it may have one.
func (h *homes) begin(object types.NamespacedName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.home(object.Namespace)
	if !h.hasRoom(o) {
		h.park(o, object)
		return false
	}
	delete(o.waiting, object)
	o.using++
	h.using++
	if o.failures > 0 {
		h.doubting++
	}
	return true
}

// end gives the place of a pass back.
func (h *homes) end(object types.NamespacedName) {
	h.mu.Lock()
	o := h.home(object.Namespace)
	o.using--
	h.using--
	if o.failures > 0 {
		h.doubting--
	}
	next := h.next()
	if o.using == 0 && len(o.line) == 0 {
		delete(h.all, object.Namespace)
	}
	h.mu.Unlock()
	for _, waiting := range next {
		h.wake(waiting)
	}
}

// failed notes that a write of a namespace was refused, failed or took too long, and
// lets the object wait for the end of the rest.
func (h *homes) failed(object types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.home(object.Namespace)
	if o.failures == 0 {
		h.doubting += o.using
	}
	rest := min(homeRestMin<<min(o.failures, 8), homeRestMax)
	o.failures++
	o.rests = h.now().Add(rest)
	h.park(o, object)
	time.AfterFunc(rest, h.rested)
}

// succeeded notes that a write of a namespace was taken.
func (h *homes) succeeded(namespace string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.all[namespace]; o != nil && o.failures > 0 {
		h.doubting -= o.using
		o.failures, o.rests = 0, time.Time{}
	}
}

// rested lets those go on whose rest is over.
func (h *homes) rested() {
	h.mu.Lock()
	next := h.next()
	h.mu.Unlock()
	for _, waiting := range next {
		h.wake(waiting)
	}
}

func (h *homes) home(namespace string) *home {
	o := h.all[namespace]
	if o == nil {
		o = &home{waiting: map[types.NamespacedName]struct{}{}}
		h.all[namespace] = o
	}
	return o
}

// hasRoom reports whether a namespace may have one more worker.
func (h *homes) hasRoom(o *home) bool {
	if o.failures > 0 {
		return o.using == 0 && !h.now().Before(o.rests) && h.doubting < max(1, h.workers/4)
	}
	return h.using < max(1, h.workers*3/4) || o.using < h.workers-h.using
}

func (h *homes) park(o *home, object types.NamespacedName) {
	if _, waits := o.waiting[object]; waits {
		return
	}
	if len(o.line) == 0 {
		h.turns = append(h.turns, object.Namespace)
	}
	o.line = append(o.line, object)
	o.waiting[object] = struct{}{}
}

// first takes the object out that has waited longest; false: none waits.
func (o *home) first() (object types.NamespacedName, ok bool) {
	for !ok && len(o.line) > 0 {
		object, o.line = o.line[0], o.line[1:]
		_, ok = o.waiting[object]
		delete(o.waiting, object)
	}
	return object, ok
}

// wakeAtOnce is how many passes a place that is free lets go on: they take theirs a
// moment later, and each lets others go on in its turn.
const wakeAtOnce = 2

// next takes out who may go on, from namespaces in turn.
func (h *homes) next() (next []types.NamespacedName) {
	for i := 0; i < len(h.turns) && len(next) < wakeAtOnce; {
		o := h.all[h.turns[i]]
		if !h.hasRoom(o) {
			i++
			continue
		}
		if object, ok := o.first(); ok {
			next = append(next, object)
		}
		namespace := h.turns[i]
		h.turns = slices.Delete(h.turns, i, i+1)
		if len(o.line) > 0 {
			h.turns = append(h.turns, namespace)
		}
	}
	return next
}

// isUnreachable reports whether a request to the API server got no answer because
// there was nobody to ask: that says nothing about one namespace.
func isUnreachable(err error) bool {
	_, answered := errors.AsType[*apierrors.StatusError](err)
	return err != nil && !answered && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}
