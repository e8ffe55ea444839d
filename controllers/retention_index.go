// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/heap"
	"container/list"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// retained are the finished deliveries of one webhook, oldest first.
type retained struct {
	succeeded, failed list.List
	bytes             int64 // of payload of both
	// byHand were not made by the gateway. They are never deleted for room, but take
	// some of their namespace's.
	byHand      list.List
	byHandBytes int64
}

// count is how many may be deleted for room.
func (h *retained) count() int { return h.succeeded.Len() + h.failed.Len() }

func (h *retained) isEmpty() bool { return h.count()+h.byHand.Len() == 0 }

// finishedDelivery is what retention must know of a delivery.
type finishedDelivery struct {
	key, webhook    types.NamespacedName
	uid             types.UID
	resourceVersion string
	state           v1alpha1.DeliveryState
	byHand          bool
	at              time.Time // completion
	expires         time.Time // by ttlAfterFinished
	bytes           int64
	noted           time.Time     // when it was last written or listed
	element         *list.Element // nil: doomed or gone
	bound           bound         // why it is doomed
}

// Add notes that a delivery has finished. One that was applied by hand is deleted
// only if it has a ttlAfterFinished: it would be sent again if it went. One that
// somebody asks to retry is not; a succeeded one can never be retried.
func (r *Retainer) Add(delivery *v1alpha1.WebhookDelivery) {
	if delivery.Status.State == v1alpha1.DeliveryFailed && retryWanted(delivery, &delivery.Status) {
		r.remove(delivery.UID) // it comes again once the request is handled
		return
	}
	if delivery.Status.CompletionTime == nil {
		return
	}
	entry := &finishedDelivery{
		key: keyOf(delivery), uid: delivery.UID, resourceVersion: delivery.ResourceVersion,
		webhook: types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name},
		state:   delivery.Status.State, byHand: delivery.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway,
		at: notAfter(delivery.Status.CompletionTime.Time, r.Now()), bytes: payloadBytes(delivery), noted: r.Now(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ttl := delivery.Spec.TTLAfterFinished; ttl != nil {
		entry.expires = entry.at.Add(ttl.Duration)
	}
	r.removeLocked(delivery.UID)
	r.insertLocked(entry)
}

func (r *Retainer) insertLocked(entry *finishedDelivery) {
	if r.byUID == nil {
		r.hooks = map[types.NamespacedName]*retained{}
		r.byUID = map[types.UID]*finishedDelivery{}
	}
	r.byUID[entry.uid] = entry
	if !entry.expires.IsZero() {
		heap.Push(&r.ttl, entry)
	}
	hook, ok := r.hooks[entry.webhook]
	if !ok {
		hook = &retained{}
		r.hooks[entry.webhook] = hook
	}
	held, bytes := hook.holding(entry)
	entry.element = insertByTime(held, entry)
	*bytes += entry.bytes
}

// holding is where a delivery belongs, and what counts its bytes.
func (h *retained) holding(entry *finishedDelivery) (*list.List, *int64) {
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
		if !e.Value.(*finishedDelivery).at.After(entry.at) {
			return l.InsertAfter(entry, e)
		}
	}
	return l.PushFront(entry)
}

func (r *Retainer) remove(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(uid)
}

func (r *Retainer) removeLocked(uid types.UID) {
	entry, ok := r.byUID[uid]
	if !ok {
		return
	}
	delete(r.byUID, uid)
	if entry.element != nil {
		hook := r.hooks[entry.webhook]
		held, bytes := hook.holding(entry)
		held.Remove(entry.element)
		*bytes -= entry.bytes
		entry.element = nil
		if hook.isEmpty() {
			delete(r.hooks, entry.webhook)
		}
	}
}

// forgetUnseen drops what was noted before then and has not been listed since:
// somebody else has deleted it. Nothing tells of that sooner where a delivery
// succeeded, and a ttlAfterFinished may be long.
func (r *Retainer) forgetUnseen(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, entry := range r.byUID {
		if entry.noted.Before(before) {
			r.removeLocked(uid)
		}
	}
	r.ttl = slices.DeleteFunc(r.ttl, func(entry *finishedDelivery) bool { return r.byUID[entry.uid] != entry })
	heap.Init(&r.ttl)
}

// ForgetWebhook drops what is known of a webhook that is gone: the garbage
// collector deletes its deliveries.
func (r *Retainer) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hook, ok := r.hooks[key]
	if !ok {
		return
	}
	for _, l := range []*list.List{&hook.succeeded, &hook.failed, &hook.byHand} {
		for e := l.Front(); e != nil; e = e.Next() {
			delete(r.byUID, e.Value.(*finishedDelivery).uid)
		}
	}
	delete(r.hooks, key)
}

// overdue takes out what exceeds the limits now.
func (r *Retainer) overdue(ctx context.Context) []*finishedDelivery {
	now := r.Now()
	var out []*finishedDelivery
	for _, key := range r.mayGiveUp() {
		limits := r.limitsOf(ctx, key)
		r.mu.Lock()
		if hook, ok := r.hooks[key]; ok {
			out = r.overdueOf(hook, limits, now, out)
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ttl) > 0 && !r.ttl[0].expires.After(now) {
		entry := heap.Pop(&r.ttl).(*finishedDelivery)
		if r.byUID[entry.uid] == entry { // else it was retried since
			out = r.doom(entry, boundTTL, out)
		}
	}
	return r.crowded(out)
}

// mayGiveUp are the webhooks that have something that the gateway made.
func (r *Retainer) mayGiveUp() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []types.NamespacedName
	for key, hook := range r.hooks {
		if hook.count() > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// doom takes one delivery out, to be deleted.
func (r *Retainer) doom(entry *finishedDelivery, why bound, out []*finishedDelivery) []*finishedDelivery {
	r.removeLocked(entry.uid)
	entry.bound = why
	return append(out, entry)
}

// overdueOf takes out what is too old, or too much for one webhook. What failed
// has a number of its own, and goes for bytes after all that succeeded: it is
// what somebody may have to look at.
func (r *Retainer) overdueOf(hook *retained, limits RetentionLimits, now time.Time, out []*finishedDelivery) []*finishedDelivery {
	for _, each := range []struct {
		list *list.List
		age  time.Duration
	}{{&hook.succeeded, limits.Succeeded}, {&hook.failed, limits.Failed}} {
		for e := each.list.Front(); e != nil && now.Sub(e.Value.(*finishedDelivery).at) >= each.age; e = each.list.Front() {
			out = r.doom(e.Value.(*finishedDelivery), boundAge, out)
		}
		for each.list.Len() > limits.MaxCount {
			out = r.doom(each.list.Front().Value.(*finishedDelivery), boundCount, out)
		}
	}
	for hook.count() > 0 && hook.bytes > limits.MaxBytes {
		out = r.doom(hook.first(), boundBytes, out)
	}
	return out
}

// first is what a webhook gives up first for others: the oldest that succeeded,
// then the oldest that failed. There must be one.
func (h *retained) first() *finishedDelivery {
	if e := h.succeeded.Front(); e != nil {
		return e.Value.(*finishedDelivery)
	}
	return h.failed.Front().Value.(*finishedDelivery)
}

// restore takes back an entry that could not be deleted.
func (r *Retainer) restore(entry *finishedDelivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restoreLocked(entry)
}

func (r *Retainer) restoreLocked(entry *finishedDelivery) {
	if _, known := r.byUID[entry.uid]; !known {
		r.insertLocked(entry)
	}
}

// ttlHeap orders deliveries by when their ttlAfterFinished ends.
type ttlHeap []*finishedDelivery

func (h ttlHeap) Len() int           { return len(h) }
func (h ttlHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h ttlHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ttlHeap) Push(x any)        { *h = append(*h, x.(*finishedDelivery)) }
func (h *ttlHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
