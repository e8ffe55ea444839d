// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/heap"
	"container/list"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// finishedDeliveries are the finished deliveries of one webhook, oldest first.
type finishedDeliveries struct {
	succeeded, failed list.List
	bytes             int64 // of payload of both
	// byHand deliveries were not created by the gateway. They are never deleted for a
	// quota, but use some of their namespace's.
	byHand      list.List
	byHandBytes int64
}

// count is how many deliveries may be deleted for a quota.
func (h *finishedDeliveries) count() int { return h.succeeded.Len() + h.failed.Len() }

func (h *finishedDeliveries) isEmpty() bool { return h.count()+h.byHand.Len() == 0 }

// finishedDelivery is the entry of a finished delivery in the index of retention.
type finishedDelivery struct {
	key, webhook    types.NamespacedName
	uid             types.UID
	resourceVersion string
	state           v1alpha1.DeliveryState
	byHand          bool
	completed       time.Time // completion
	expires         time.Time // by ttlAfterFinished
	bytes           int64
	lastSeen        time.Time     // last written or listed
	element         *list.Element // nil: evicted or gone
	bound           bound         // why it is evicted
}

func (r *Retainer) indexLocked(entry *finishedDelivery) {
	if r.byUID == nil {
		r.webhooks = map[types.NamespacedName]*finishedDeliveries{}
		r.byUID = map[types.UID]*finishedDelivery{}
	}
	r.byUID[entry.uid] = entry
	if !entry.expires.IsZero() {
		heap.Push(&r.ttl, entry)
	}
	hook, ok := r.webhooks[entry.webhook]
	if !ok {
		hook = &finishedDeliveries{}
		r.webhooks[entry.webhook] = hook
	}
	held, bytes := hook.listOf(entry)
	entry.element = insertByTime(held, entry)
	*bytes += entry.bytes
}

// listOf returns the list that a delivery belongs to, and the sum of its bytes.
func (h *finishedDeliveries) listOf(entry *finishedDelivery) (*list.List, *int64) {
	switch {
	case entry.byHand:
		return &h.byHand, &h.byHandBytes
	case entry.state == v1alpha1.DeliverySucceeded:
		return &h.succeeded, &h.bytes
	}
	return &h.failed, &h.bytes
}

// insertByTime keeps a list ordered by completion; new entries come last.
func insertByTime(l *list.List, entry *finishedDelivery) *list.Element {
	for e := l.Back(); e != nil; e = e.Prev() {
		if !e.Value.(*finishedDelivery).completed.After(entry.completed) {
			return l.InsertAfter(entry, e)
		}
	}
	return l.PushFront(entry)
}

func (r *Retainer) unindex(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unindexLocked(uid)
}

func (r *Retainer) unindexLocked(uid types.UID) {
	entry, ok := r.byUID[uid]
	if !ok {
		return
	}
	delete(r.byUID, uid)
	if entry.element != nil {
		hook := r.webhooks[entry.webhook]
		held, bytes := hook.listOf(entry)
		held.Remove(entry.element)
		*bytes -= entry.bytes
		entry.element = nil
		if hook.isEmpty() {
			delete(r.webhooks, entry.webhook)
		}
	}
}

// oldest is the delivery that is evicted first: the oldest succeeded one, then the oldest
// failed one. There must be one.
func (h *finishedDeliveries) oldest() *finishedDelivery {
	if e := h.succeeded.Front(); e != nil {
		return e.Value.(*finishedDelivery)
	}
	return h.failed.Front().Value.(*finishedDelivery)
}

// reindex puts an entry back that could not be deleted.
func (r *Retainer) reindex(entry *finishedDelivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reindexLocked(entry)
}

func (r *Retainer) reindexLocked(entry *finishedDelivery) {
	if _, known := r.byUID[entry.uid]; !known {
		r.indexLocked(entry)
	}
}
