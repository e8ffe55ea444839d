// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"maps"
	"time"

	"github.com/google/btree"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// usage is what is unfinished.
type usage struct {
	count int
	bytes int64
}

func (u *usage) add(r *deliveryEntry, sign int) {
	u.count += sign
	u.bytes += int64(sign) * r.bytes
}

func (u usage) plus(other usage) usage {
	return usage{count: u.count + other.count, bytes: u.bytes + other.bytes}
}

// deliveryIndex holds every delivery that this replica knows, indexed as callers look them up.
type deliveryIndex struct {
	*watchcache.Cache[*v1alpha1.WebhookDelivery, *deliveryEntry]

	// All that follows is read under View and changed under Change.

	total           usage
	pendingOutcomes int // see deliveryEntry
	namespaces      map[string]*namespaceDeliveries
	reserved        reservations
}

type namespaceDeliveries struct {
	usage

	pendingOutcomes int // see deliveryEntry
	byID            map[string]*deliveryEntry
	byEvent         map[string]map[string]*deliveryEntry // by event id, then name
	byWebhook       map[string]*webhookDeliveries        // by name
	unfinished      *btree.BTreeG[*deliveryEntry]        // the oldest first
	failed          *btree.BTreeG[*deliveryEntry]        // for good, the latest first
}

type webhookDeliveries struct {
	usage

	listed     *btree.BTreeG[*deliveryEntry] // the newest first
	unfinished *btree.BTreeG[*deliveryEntry] // the oldest first
	finished   *btree.BTreeG[*deliveryEntry] // the latest first
}

// listedBefore orders a list: the newest first.
func listedBefore(a, b *deliveryEntry) bool {
	return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.name, b.name)) < 0
}

// acceptedBefore orders by waiting time: the longest first.
func acceptedBefore(a, b *deliveryEntry) bool {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name, b.name)) < 0
}

// endedAfter orders by end: the latest first.
func endedAfter(a, b *deliveryEntry) bool {
	return cmp.Or(b.endTime().Compare(a.endTime()), cmp.Compare(a.name, b.name)) < 0
}

// treeDegree is the usual degree for small items; nothing depends on it.
const treeDegree = 32

func newDeliveryIndex(now func() time.Time) *deliveryIndex {
	x := &deliveryIndex{
		namespaces: map[string]*namespaceDeliveries{},
		reserved:   reservations{namespaces: map[string]*namespaceReservations{}},
	}
	reduce := func(delivery *v1alpha1.WebhookDelivery) *deliveryEntry { return newDeliveryEntry(delivery, now()) }
	x.Cache = watchcache.New(reduce, x.applyChange, now)
	return x
}

func (x *deliveryIndex) applyChange(before, after **deliveryEntry) {
	if before != nil {
		x.remove(*before)
	}
	if after != nil {
		x.insert(*after)
	}
}

// subscribe calls changed after every change of a delivery: with the delivery as it is now, or as it was last and gone.
func (x *deliveryIndex) subscribe(changed func(r *deliveryEntry, gone bool)) {
	x.Subscribe(func(before, after **deliveryEntry) {
		if after == nil {
			changed(*before, true)
			return
		}
		changed(*after, false)
	})
}

func (x *deliveryIndex) insert(r *deliveryEntry) {
	n := x.namespace(r.namespace)
	w := n.webhook(r.webhook)
	n.byID[r.id] = r
	if n.byEvent[r.eventID] == nil {
		n.byEvent[r.eventID] = map[string]*deliveryEntry{}
	}
	n.byEvent[r.eventID][r.name] = r
	w.listed.ReplaceOrInsert(r)
	if r.pendingOutcome {
		x.pendingOutcomes++
		n.pendingOutcomes++
	}
	switch {
	case r.isUnfinished():
		x.total.add(r, 1)
		n.add(r, 1)
		w.add(r, 1)
		n.unfinished.ReplaceOrInsert(r)
		w.unfinished.ReplaceOrInsert(r)
	case r.state == v1alpha1.DeliveryFailed:
		n.failed.ReplaceOrInsert(r)
		w.finished.ReplaceOrInsert(r)
	default:
		w.finished.ReplaceOrInsert(r)
	}
}

func (x *deliveryIndex) remove(r *deliveryEntry) {
	n := x.namespace(r.namespace)
	w := n.webhook(r.webhook)
	delete(n.byID, r.id)
	delete(n.byEvent[r.eventID], r.name)
	if len(n.byEvent[r.eventID]) == 0 {
		delete(n.byEvent, r.eventID)
	}
	w.listed.Delete(r)
	if r.pendingOutcome {
		x.pendingOutcomes--
		n.pendingOutcomes--
	}
	switch {
	case r.isUnfinished():
		x.total.add(r, -1)
		n.add(r, -1)
		w.add(r, -1)
		n.unfinished.Delete(r)
		w.unfinished.Delete(r)
	case r.state == v1alpha1.DeliveryFailed:
		n.failed.Delete(r)
		w.finished.Delete(r)
	default:
		w.finished.Delete(r)
	}
	if w.listed.Len() == 0 {
		delete(n.byWebhook, r.webhook)
	}
	if len(n.byID) == 0 {
		delete(x.namespaces, r.namespace)
	}
}

func (x *deliveryIndex) namespace(name string) *namespaceDeliveries {
	n := x.namespaces[name]
	if n == nil {
		n = &namespaceDeliveries{
			byID: map[string]*deliveryEntry{}, byEvent: map[string]map[string]*deliveryEntry{}, byWebhook: map[string]*webhookDeliveries{},
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

// find returns the delivery with this id; nil: there is none in the namespace.
func (x *deliveryIndex) find(namespace, id string) (found *deliveryEntry) {
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			found = n.byID[id]
		}
	})
	return found
}

// listByEvent returns the deliveries of one event in a namespace, by name.
func (x *deliveryIndex) listByEvent(namespace, eventID string) (found map[string]*deliveryEntry) {
	found = map[string]*deliveryEntry{}
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			maps.Copy(found, n.byEvent[eventID])
		}
	})
	return found
}

// listByWebhook returns up to limit deliveries of one webhook that want accepts, the newest first, beginning behind
// after; nil: from the first.
func (x *deliveryIndex) listByWebhook(namespace, webhook string, after *deliveryEntry, limit int, want func(*deliveryEntry) bool) (found []*deliveryEntry) {
	x.View(func() {
		n := x.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		page := func(r *deliveryEntry) bool {
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

// hasWaiting reports whether a due delivery of a webhook, accepted no later than before, waits for an attempt.
func (x *deliveryIndex) hasWaiting(webhook *v1alpha1.Webhook, before, now time.Time) (found bool) {
	x.View(func() {
		n := x.namespaces[webhook.Namespace]
		if n == nil || n.byWebhook[webhook.Name] == nil {
			return
		}
		n.byWebhook[webhook.Name].unfinished.Ascend(func(r *deliveryEntry) bool {
			if r.created.After(before) {
				return false
			}
			owned := r.owner == "" || r.owner == webhook.UID // adopted already, or to be adopted
			found = owned && (r.nextAttempt == nil || !r.nextAttempt.After(now))
			return !found
		})
	})
	return found
}

// maxUnsettledRecords is how many records the controller may have to acknowledge before no more are made.
const maxUnsettledRecords = 500

// isControllerBehind reports whether the controller has so many records of a namespace to acknowledge that the
// namespace gets no more for now.
func (x *deliveryIndex) isControllerBehind(namespace string) (behind bool) {
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
