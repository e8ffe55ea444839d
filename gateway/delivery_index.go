// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/google/btree"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// deliveryEntry is what the index holds of a delivery: all but its payload and the log of its attempts. It is shared
// and must not be changed.
type deliveryEntry struct {
	namespace, name string
	uid             types.UID
	id              string // delivery_id
	webhook         string // name
	owner           types.UID
	eventID         string
	eventType       string
	test            bool

	state          v1alpha1.DeliveryState // "" is Pending
	attempts       int32
	responseStatus *int32
	errorMessage   string
	created        time.Time
	nextAttempt    *metav1.MicroTime
	completed      *metav1.MicroTime
	lastDuration   time.Duration // of the latest attempt
	pendingOutcome bool          // the delivery has succeeded, and the controller has not written that
	observed       observedAttempt
	unrecorded     int64 // successes that it is the record for, beyond itself

	timestamp time.Time         // of the payload; zero if we did not make the payload
	bytes     int64             // of the payload
	digest    [sha256.Size]byte // of the payload
}

func (r *deliveryEntry) isUnfinished() bool {
	return r.state != v1alpha1.DeliverySucceeded && r.state != v1alpha1.DeliveryFailed
}

// webhookKey is the webhook that the delivery counts for.
func (r *deliveryEntry) webhookKey() webhookKey {
	return webhookKey{namespace: r.namespace, name: r.webhook, uid: r.owner}
}

func newDeliveryEntry(delivery *v1alpha1.WebhookDelivery, now time.Time) *deliveryEntry {
	r := &deliveryEntry{
		namespace: delivery.Namespace, name: delivery.Name, uid: delivery.UID,
		id:      identity.DeliveryID(delivery.Name, string(delivery.UID)),
		webhook: delivery.Spec.WebhookRef.Name,
		eventID: delivery.Spec.EventID, eventType: delivery.Spec.EventType, test: delivery.Spec.Test,
		state: delivery.Status.State, attempts: delivery.Status.Attempts,
		responseStatus: delivery.Status.ResponseStatus, errorMessage: delivery.Status.ErrorMessage,
		created: createdAt(delivery), nextAttempt: delivery.Status.NextAttemptTime, completed: delivery.Status.CompletionTime,
		lastDuration: latestDuration(delivery), timestamp: payloadTimestamp(&delivery.Spec),
		bytes: int64(len(delivery.Spec.Payload)), digest: sha256.Sum256([]byte(delivery.Spec.Payload)),
	}
	if owner := metav1.GetControllerOf(delivery); owner != nil {
		r.owner = owner.UID
	}
	r.unrecorded = unrecordedCount(delivery)
	r.applyPendingOutcome(delivery, now)
	r.observed = observeAttempt(delivery, now)
	return r
}

// unrecordedCount is the number of unrecorded successes that a gateway's record carries.
func unrecordedCount(delivery *v1alpha1.WebhookDelivery) int64 {
	if delivery.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway {
		return 0
	}
	n, err := strconv.ParseInt(delivery.Annotations[v1alpha1.UnrecordedAnnotation], 10, 64)
	if err != nil || n < 0 || n > maxUnrecorded {
		return 0
	}
	return n
}

// maxUnrecorded is more than a gateway counts between two records.
const maxUnrecorded = 1e9

// applyPendingOutcome applies an attempt that the controller has not decided about yet: of the gateway that created the
// object, or handed the delivery over.
func (r *deliveryEntry) applyPendingOutcome(delivery *v1alpha1.WebhookDelivery, now time.Time) {
	attempt := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; attempt == nil && len(log) == 1 {
		attempt = &log[0]
	}
	if r.state != "" || attempt == nil {
		return
	}
	entry := attemptlog.Bounded(*attempt, now)
	r.attempts, r.responseStatus, r.errorMessage = 1, entry.ResponseStatus, entry.Message
	r.state = v1alpha1.DeliveryRetrying
	if entry.Reason == "" {
		r.state, r.pendingOutcome, r.completed = v1alpha1.DeliverySucceeded, true, new(metav1.NewMicroTime(attemptlog.Ended(&entry)))
	}
}

// payloadTimestamp reads the timestamp out of a payload, without parsing all of it.
func payloadTimestamp(spec *v1alpha1.WebhookDeliverySpec) time.Time {
	rest, ok := strings.CutPrefix(spec.Payload, `{"event":"`+spec.EventType+`","timestamp":"`)
	text, _, found := strings.Cut(rest[:min(len(rest), 32)], `"`)
	if !ok || !found {
		return time.Time{}
	}
	stamp, _ := payload.ParseTimestamp(text) // zero if it is invalid
	return stamp
}

// createdAt is when the event was accepted; when the object was created, if it does not say.
func createdAt(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.UTC()
	if accepted := delivery.Spec.AcceptedTime; accepted != nil && accepted.Time.Before(created.Add(time.Second)) {
		return accepted.UTC()
	}
	return created
}

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
func (x *deliveryIndex) hasWaiting(webhook webhookKey, before, now time.Time) (found bool) {
	x.View(func() {
		n := x.namespaces[webhook.namespace]
		if n == nil || n.byWebhook[webhook.name] == nil {
			return
		}
		n.byWebhook[webhook.name].unfinished.Ascend(func(r *deliveryEntry) bool {
			if r.created.After(before) {
				return false
			}
			owned := r.owner == "" || r.owner == webhook.uid // adopted already, or to be adopted
			found = owned && (r.nextAttempt == nil || !r.nextAttempt.After(now))
			return !found
		})
	})
	return found
}

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
