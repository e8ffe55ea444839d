// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// fairAdmission admits a bounded number of deliveries to the controller's queue for one
// cause. Hundreds of attempts to hanging endpoints end in the same moment, thousands
// of deliveries are held when their webhook is suspended, and each costs a write: all
// at once they would take every worker and most of the API server from deliveries that
// are due. Namespaces take turns; within one, the first to come is the first admitted.
//
// An admission ends with the reconcile that it led to, whatever its result, so none
// can be lost.
type fairAdmission struct {
	mu       sync.Mutex
	limit    int
	admitted map[types.NamespacedName]struct{}
	waiting  map[types.NamespacedName]struct{}
	queues   map[string][]types.NamespacedName // waiting deliveries, by namespace
	order    []string                          // namespaces with a queue, next first
}

// newFairAdmission returns an admission of at most limit deliveries at a time, at least
// one.
func newFairAdmission(limit int) *fairAdmission {
	return &fairAdmission{
		limit: max(1, limit), admitted: map[types.NamespacedName]struct{}{},
		waiting: map[types.NamespacedName]struct{}{}, queues: map[string][]types.NamespacedName{},
	}
}

// admit reports whether a delivery may be enqueued now. If not, it waits, once, until
// release returns it.
func (a *fairAdmission) admit(delivery types.NamespacedName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, has := a.admitted[delivery]; has {
		return true
	}
	if len(a.admitted) < a.limit {
		a.admitted[delivery] = struct{}{}
		return true
	}
	if _, waits := a.waiting[delivery]; waits {
		return false
	}
	a.waiting[delivery] = struct{}{}
	line, stands := a.queues[delivery.Namespace]
	if !stands {
		a.order = append(a.order, delivery.Namespace)
	}
	a.queues[delivery.Namespace] = append(line, delivery)
	return false
}

// release ends the admission of a delivery, if it has one, and returns the delivery that
// is admitted instead.
func (a *fairAdmission) release(delivery types.NamespacedName) (next types.NamespacedName, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, has := a.admitted[delivery]; !has {
		return next, false
	}
	delete(a.admitted, delivery)
	if len(a.order) == 0 {
		return next, false
	}
	namespace := a.order[0]
	a.order = a.order[1:]
	line := a.queues[namespace]
	next, line = line[0], line[1:]
	if len(line) == 0 {
		delete(a.queues, namespace)
	} else {
		a.queues[namespace] = line
		a.order = append(a.order, namespace)
	}
	delete(a.waiting, next)
	a.admitted[next] = struct{}{}
	return next, true
}
