// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"time"

	"github.com/google/btree"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// DeliveryIndex holds every delivery that this replica knows, indexed as callers look them up.
type DeliveryIndex struct {
	*watchcache.Cache[*v1alpha1.WebhookDelivery, *DeliveryEntry]

	// All that follows is read under View and changed under Change.

	total           backlogUsage
	pendingOutcomes int // see DeliveryEntry
	namespaces      map[string]*namespaceDeliveries
	reserved        backlogReservations
}

type namespaceDeliveries struct {
	backlogUsage

	pendingOutcomes int // see DeliveryEntry
	byID            map[string]*DeliveryEntry
	byEvent         map[string]map[string]*DeliveryEntry // by event id, then name
	byWebhook       map[string]*webhookDeliveries        // by name
	unfinished      *btree.BTreeG[*DeliveryEntry]        // the oldest first
	failed          *btree.BTreeG[*DeliveryEntry]        // for good, the latest first
}

type webhookDeliveries struct {
	backlogUsage

	listed     *btree.BTreeG[*DeliveryEntry] // the newest first
	unfinished *btree.BTreeG[*DeliveryEntry] // the oldest first
	finished   *btree.BTreeG[*DeliveryEntry] // the latest first
}

// treeDegree is the usual degree for small items; nothing depends on it.
const treeDegree = 32

// NewDeliveryIndex returns an index that is empty until Start.
func NewDeliveryIndex(now func() time.Time) *DeliveryIndex {
	x := &DeliveryIndex{
		namespaces: map[string]*namespaceDeliveries{},
		reserved:   backlogReservations{namespaces: map[string]*namespaceReservations{}},
	}
	reduce := func(delivery *v1alpha1.WebhookDelivery) *DeliveryEntry { return NewDeliveryEntry(delivery, now()) }
	x.Cache = watchcache.New(reduce, x.applyChange, now)
	return x
}

func (x *DeliveryIndex) applyChange(before, after **DeliveryEntry) {
	if before != nil {
		x.remove(*before)
	}
	if after != nil {
		x.insert(*after)
	}
}

// OnChange calls changed after every change of a delivery: with the delivery as it is now, or as it was last and gone.
func (x *DeliveryIndex) OnChange(changed func(r *DeliveryEntry, gone bool)) {
	x.Subscribe(func(before, after **DeliveryEntry) {
		if after == nil {
			changed(*before, true)
			return
		}
		changed(*after, false)
	})
}

func (x *DeliveryIndex) insert(r *DeliveryEntry) {
	n := x.namespace(r.Namespace)
	w := n.webhook(r.Webhook)
	n.byID[r.ID] = r
	if n.byEvent[r.EventID] == nil {
		n.byEvent[r.EventID] = map[string]*DeliveryEntry{}
	}
	n.byEvent[r.EventID][r.Name] = r
	w.listed.ReplaceOrInsert(r)
	if r.pendingOutcome {
		x.pendingOutcomes++
		n.pendingOutcomes++
	}
	switch {
	case r.IsUnfinished():
		x.total.add(r, 1)
		n.add(r, 1)
		w.add(r, 1)
		n.unfinished.ReplaceOrInsert(r)
		w.unfinished.ReplaceOrInsert(r)
	case r.State == v1alpha1.DeliveryFailed:
		n.failed.ReplaceOrInsert(r)
		w.finished.ReplaceOrInsert(r)
	default:
		w.finished.ReplaceOrInsert(r)
	}
}

func (x *DeliveryIndex) remove(r *DeliveryEntry) {
	n := x.namespace(r.Namespace)
	w := n.webhook(r.Webhook)
	delete(n.byID, r.ID)
	delete(n.byEvent[r.EventID], r.Name)
	if len(n.byEvent[r.EventID]) == 0 {
		delete(n.byEvent, r.EventID)
	}
	w.listed.Delete(r)
	if r.pendingOutcome {
		x.pendingOutcomes--
		n.pendingOutcomes--
	}
	switch {
	case r.IsUnfinished():
		x.total.add(r, -1)
		n.add(r, -1)
		w.add(r, -1)
		n.unfinished.Delete(r)
		w.unfinished.Delete(r)
	case r.State == v1alpha1.DeliveryFailed:
		n.failed.Delete(r)
		w.finished.Delete(r)
	default:
		w.finished.Delete(r)
	}
	if w.listed.Len() == 0 {
		delete(n.byWebhook, r.Webhook)
	}
	if len(n.byID) == 0 {
		delete(x.namespaces, r.Namespace)
	}
}

func (x *DeliveryIndex) namespace(name string) *namespaceDeliveries {
	n := x.namespaces[name]
	if n == nil {
		n = &namespaceDeliveries{
			byID: map[string]*DeliveryEntry{}, byEvent: map[string]map[string]*DeliveryEntry{}, byWebhook: map[string]*webhookDeliveries{},
			unfinished: btree.NewG(treeDegree, acceptedBefore), failed: btree.NewG(treeDegree, endedAfter),
		}
		x.namespaces[name] = n
	}
	return n
}

func (n *namespaceDeliveries) webhook(name string) *webhookDeliveries {
	w := n.byWebhook[name]
	if w == nil {
		w = &webhookDeliveries{
			listed:     btree.NewG(treeDegree, listedBefore),
			unfinished: btree.NewG(treeDegree, acceptedBefore), finished: btree.NewG(treeDegree, endedAfter),
		}
		n.byWebhook[name] = w
	}
	return w
}

// Find returns the delivery with this id; nil: there is none in the namespace.
func (x *DeliveryIndex) Find(namespace, id string) (found *DeliveryEntry) {
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			found = n.byID[id]
		}
	})
	return found
}

// ListByEvent returns the deliveries of one event in a namespace, by name.
func (x *DeliveryIndex) ListByEvent(namespace, eventID string) (found map[string]*DeliveryEntry) {
	found = map[string]*DeliveryEntry{}
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			maps.Copy(found, n.byEvent[eventID])
		}
	})
	return found
}

// ListByWebhook returns up to limit deliveries of one webhook that want accepts, the newest first, beginning behind
// after; nil: from the first. want locks nothing.
func (x *DeliveryIndex) ListByWebhook(namespace, webhook string, after *DeliveryEntry, limit int, want func(*DeliveryEntry) bool) (found []*DeliveryEntry) {
	x.View(func() {
		n := x.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		page := func(r *DeliveryEntry) bool {
			if (after == nil || listedBefore(after, r)) && want(r) {
				found = append(found, r)
			}
			return len(found) < limit
		}
		if after == nil {
			n.byWebhook[webhook].listed.Ascend(page)
		} else {
			n.byWebhook[webhook].listed.AscendGreaterOrEqual(after, page)
		}
	})
	return found
}

// HasWaiting reports whether a due delivery of a webhook, accepted no later than before, waits for an attempt.
func (x *DeliveryIndex) HasWaiting(webhook *v1alpha1.Webhook, before, now time.Time) (found bool) {
	x.View(func() {
		n := x.namespaces[webhook.Namespace]
		if n == nil || n.byWebhook[webhook.Name] == nil {
			return
		}
		n.byWebhook[webhook.Name].unfinished.Ascend(func(r *DeliveryEntry) bool {
			if r.Created.After(before) {
				return false
			}
			owned := r.Owner == "" || r.Owner == webhook.UID // adopted already, or to be adopted
			found = owned && (r.NextAttempt == nil || !r.NextAttempt.After(now))
			return !found
		})
	})
	return found
}

// maxUnsettledRecords is how many records the controller may have to acknowledge before no more are made.
const maxUnsettledRecords = 500

// IsControllerBehind reports whether the controller has so many records of a namespace to acknowledge that the
// namespace gets no more for now.
func (x *DeliveryIndex) IsControllerBehind(namespace string) (behind bool) {
	x.View(func() {
		have := int64(0)
		if n := x.namespaces[namespace]; n != nil {
			have = int64(n.pendingOutcomes)
		}
		others := func(yield func(int64) bool) {
			for name, n := range x.namespaces {
				if name != namespace && !yield(int64(n.pendingOutcomes)) {
					return
				}
			}
		}
		behind = !sharedQuota{limit: maxUnsettledRecords, perNamespace: maxUnsettledRecords, used: int64(x.pendingOutcomes)}.admits(have, have+1, others)
	})
	return behind
}

// CountUnfinished is how many deliveries of all namespaces are unfinished, and the bytes of their payloads.
func (x *DeliveryIndex) CountUnfinished() (deliveries int, bytes int64) {
	x.View(func() { deliveries, bytes = x.total.count, x.total.bytes })
	return deliveries, bytes
}

// CountPendingOutcomes is how many deliveries of a namespace have succeeded without the controller having written it.
func (x *DeliveryIndex) CountPendingOutcomes(namespace string) (n int) {
	x.View(func() {
		if of := x.namespaces[namespace]; of != nil {
			n = of.pendingOutcomes
		}
	})
	return n
}
