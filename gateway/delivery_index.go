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
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// recorded is what the ledger keeps of a delivery: all but its payload and the
// log of its attempts. It is shared and must not be changed.
type recorded struct {
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
	next           *metav1.MicroTime
	completed      *metav1.MicroTime
	took           time.Duration // the latest attempt
	foreseen       bool          // it has succeeded, and the controller has not written so
	heard          heard         // of the latest attempt
	standsFor      int64         // successes without an object that it tells of

	stamp  time.Time         // in the payload; zero if that is no payload of ours
	bytes  int64             // of the payload
	digest [sha256.Size]byte // of the payload
}

func (r *recorded) unfinished() bool {
	return r.state != v1alpha1.DeliverySucceeded && r.state != v1alpha1.DeliveryFailed
}

// key is the webhook that a delivery says something about.
func (r *recorded) key() webhookKey {
	return webhookKey{namespace: r.namespace, name: r.webhook, uid: r.owner}
}

func record(delivery *v1alpha1.WebhookDelivery, now time.Time) *recorded {
	r := &recorded{
		namespace: delivery.Namespace, name: delivery.Name, uid: delivery.UID,
		id:      identity.DeliveryID(delivery.Name, string(delivery.UID)),
		webhook: delivery.Spec.WebhookRef.Name,
		eventID: delivery.Spec.EventID, eventType: delivery.Spec.EventType, test: delivery.Spec.Test,
		state: delivery.Status.State, attempts: delivery.Status.Attempts,
		responseStatus: delivery.Status.ResponseStatus, errorMessage: delivery.Status.ErrorMessage,
		created: createdAt(delivery), next: delivery.Status.NextAttemptTime, completed: delivery.Status.CompletionTime,
		took: tookOf(delivery), stamp: stampOf(&delivery.Spec),
		bytes: int64(len(delivery.Spec.Payload)), digest: sha256.Sum256([]byte(delivery.Spec.Payload)),
	}
	if owner := metav1.GetControllerOf(delivery); owner != nil {
		r.owner = owner.UID
	}
	r.standsFor = unrecordedOf(delivery)
	r.foresee(delivery, now)
	r.heard = hear(delivery, now)
	return r
}

// unrecordedOf is how many successes without an object a record of a gateway tells of.
func unrecordedOf(delivery *v1alpha1.WebhookDelivery) int64 {
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

// foresee takes an attempt into account that the controller has not decided about
// yet: of the gateway that created the object, or handed it over.
func (r *recorded) foresee(delivery *v1alpha1.WebhookDelivery, now time.Time) {
	said := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; said == nil && len(log) == 1 {
		said = &log[0]
	}
	if r.state != "" || said == nil {
		return
	}
	made := attemptlog.Bounded(*said, now)
	r.attempts, r.responseStatus, r.errorMessage = 1, made.ResponseStatus, made.Message
	r.state = v1alpha1.DeliveryRetrying
	if made.Reason == "" {
		r.state, r.foreseen, r.completed = v1alpha1.DeliverySucceeded, true, new(metav1.NewMicroTime(attemptlog.Ended(&made)))
	}
}

// stampOf reads the timestamp out of a payload, without reading all of it.
func stampOf(spec *v1alpha1.WebhookDeliverySpec) time.Time {
	rest, ok := strings.CutPrefix(spec.Payload, `{"event":"`+spec.EventType+`","timestamp":"`)
	text, _, found := strings.Cut(rest[:min(len(rest), 32)], `"`)
	if !ok || !found {
		return time.Time{}
	}
	stamp, _ := payload.ParseTimestamp(text) // zero if it is none
	return stamp
}

// createdAt is when the event was accepted, where the object says so.
func createdAt(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.UTC()
	if accepted := delivery.Spec.AcceptedTime; accepted != nil && accepted.Time.Before(created.Add(time.Second)) {
		return accepted.UTC()
	}
	return created
}

// usage is how much is unfinished.
type usage struct {
	count int
	bytes int64
}

func (u *usage) add(r *recorded, sign int) {
	u.count += sign
	u.bytes += int64(sign) * r.bytes
}

func (u usage) plus(other usage) usage {
	return usage{count: u.count + other.count, bytes: u.bytes + other.bytes}
}

// ledger is every delivery, indexed as callers ask for them.
type ledger struct {
	*watchcache.Cache[*v1alpha1.WebhookDelivery, *recorded]

	news *news // nil: nobody is told
	now  func() time.Time

	// All that follows is read under View and changed under Change.

	total      usage
	foreseen   int // see recorded
	hear       func(webhook webhookKey, what heard, now time.Time)
	namespaces map[string]*namespaceLedger
	reserved   reservations
}

type namespaceLedger struct {
	usage

	foreseen  int // see recorded
	byID      map[string]*recorded
	byEvent   map[string]map[string]*recorded // event id → name
	byWebhook map[string]*webhookLedger       // name of the webhook
	waiting   *btree.BTreeG[*recorded]        // unfinished, the oldest first
	failed    *btree.BTreeG[*recorded]        // for good, the latest first
}

type webhookLedger struct {
	usage

	inOrder *btree.BTreeG[*recorded] // as they are listed
	waiting *btree.BTreeG[*recorded] // unfinished, the oldest first
	ended   *btree.BTreeG[*recorded] // the latest first
}

// listedBefore reports whether a stands before b in a list: the newest first.
func listedBefore(a, b *recorded) bool {
	return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.name, b.name)) < 0
}

// acceptedBefore reports whether a has waited longer than b.
func acceptedBefore(a, b *recorded) bool {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name, b.name)) < 0
}

// endedAfter reports whether a ended later than b.
func endedAfter(a, b *recorded) bool {
	return cmp.Or(b.ended().Compare(a.ended()), cmp.Compare(a.name, b.name)) < 0
}

// treeDegree is the usual one for small items; nothing depends on it.
const treeDegree = 32

func newLedger(now func() time.Time) *ledger {
	l := &ledger{
		namespaces: map[string]*namespaceLedger{},
		reserved:   reservations{namespaces: map[string]*reservedNamespace{}},
		hear:       func(webhookKey, heard, time.Time) {},
		now:        now,
	}
	reduce := func(delivery *v1alpha1.WebhookDelivery) *recorded { return record(delivery, now()) }
	l.Cache = watchcache.New(reduce, l.changed, now)
	return l
}

func (l *ledger) changed(before, after **recorded) {
	if before != nil {
		l.drop(*before)
	}
	if after != nil {
		l.enter(*after)
		before = after
	}
	l.news.tell((*before).namespace, (*before).webhook, (*before).id)
}

func (l *ledger) enter(r *recorded) {
	n := l.namespace(r.namespace)
	w := n.webhook(r.webhook)
	n.byID[r.id] = r
	if n.byEvent[r.eventID] == nil {
		n.byEvent[r.eventID] = map[string]*recorded{}
	}
	n.byEvent[r.eventID][r.name] = r
	w.inOrder.ReplaceOrInsert(r)
	if r.foreseen {
		l.foreseen++
		n.foreseen++
	}
	l.hear(r.key(), r.heard, l.now())
	switch {
	case r.unfinished():
		l.total.add(r, 1)
		n.add(r, 1)
		w.add(r, 1)
		n.waiting.ReplaceOrInsert(r)
		w.waiting.ReplaceOrInsert(r)
	case r.state == v1alpha1.DeliveryFailed:
		n.failed.ReplaceOrInsert(r)
		w.ended.ReplaceOrInsert(r)
	default:
		w.ended.ReplaceOrInsert(r)
	}
}

func (l *ledger) drop(r *recorded) {
	n := l.namespace(r.namespace)
	w := n.webhook(r.webhook)
	delete(n.byID, r.id)
	delete(n.byEvent[r.eventID], r.name)
	if len(n.byEvent[r.eventID]) == 0 {
		delete(n.byEvent, r.eventID)
	}
	w.inOrder.Delete(r)
	if r.foreseen {
		l.foreseen--
		n.foreseen--
	}
	switch {
	case r.unfinished():
		l.total.add(r, -1)
		n.add(r, -1)
		w.add(r, -1)
		n.waiting.Delete(r)
		w.waiting.Delete(r)
	case r.state == v1alpha1.DeliveryFailed:
		n.failed.Delete(r)
		w.ended.Delete(r)
	default:
		w.ended.Delete(r)
	}
	if w.inOrder.Len() == 0 {
		delete(n.byWebhook, r.webhook)
	}
	if len(n.byID) == 0 {
		delete(l.namespaces, r.namespace)
	}
}

func (l *ledger) namespace(name string) *namespaceLedger {
	n := l.namespaces[name]
	if n == nil {
		n = &namespaceLedger{
			byID: map[string]*recorded{}, byEvent: map[string]map[string]*recorded{}, byWebhook: map[string]*webhookLedger{},
			waiting: btree.NewG(treeDegree, acceptedBefore), failed: btree.NewG(treeDegree, endedAfter),
		}
		l.namespaces[name] = n
	}
	return n
}

func (n *namespaceLedger) webhook(name string) *webhookLedger {
	w := n.byWebhook[name]
	if w == nil {
		w = &webhookLedger{
			inOrder: btree.NewG(treeDegree, listedBefore),
			waiting: btree.NewG(treeDegree, acceptedBefore), ended: btree.NewG(treeDegree, endedAfter),
		}
		n.byWebhook[name] = w
	}
	return w
}

// find returns the delivery with this id; nil: there is none in the namespace.
func (l *ledger) find(namespace, id string) (found *recorded) {
	l.View(func() {
		if n := l.namespaces[namespace]; n != nil {
			found = n.byID[id]
		}
	})
	return found
}

// ofEvent returns the deliveries of one event in a namespace, by name.
func (l *ledger) ofEvent(namespace, eventID string) (found map[string]*recorded) {
	found = map[string]*recorded{}
	l.View(func() {
		if n := l.namespaces[namespace]; n != nil {
			maps.Copy(found, n.byEvent[eventID])
		}
	})
	return found
}

// ofWebhook returns up to limit deliveries of one webhook that want passes, the
// newest first, those after a position only. after may be nil.
func (l *ledger) ofWebhook(namespace, webhook string, after *recorded, limit int, want func(*recorded) bool) (found []*recorded) {
	l.View(func() {
		n := l.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		page := func(r *recorded) bool {
			if (after == nil || listedBefore(after, r)) && want(r) {
				found = append(found, r)
			}
			return len(found) < limit
		}
		if after == nil {
			n.byWebhook[webhook].inOrder.Ascend(page)
		} else {
			n.byWebhook[webhook].inOrder.AscendGreaterOrEqual(after, page)
		}
	})
	return found
}

// waits reports whether a delivery of a webhook waits for its turn that came in
// before a time.
func (l *ledger) waits(webhook webhookKey, before, now time.Time) (found bool) {
	l.View(func() {
		n := l.namespaces[webhook.namespace]
		if n == nil || n.byWebhook[webhook.name] == nil {
			return
		}
		n.byWebhook[webhook.name].waiting.Ascend(func(r *recorded) bool {
			if r.created.After(before) {
				return false
			}
			owned := r.owner == "" || r.owner == webhook.uid // it will be adopted, or is
			found = owned && (r.next == nil || !r.next.After(now))
			return !found
		})
	})
	return found
}

// behind reports whether the controller has not written yet that so many deliveries
// have succeeded that a namespace gets no more records for now.
func (l *ledger) behind(namespace string) (is bool) {
	l.View(func() {
		have := int64(0)
		if n := l.namespaces[namespace]; n != nil {
			have = int64(n.foreseen)
		}
		others := func(yield func(int64) bool) {
			for name, n := range l.namespaces {
				if name != namespace && !yield(int64(n.foreseen)) {
					return
				}
			}
		}
		is = !shared{limit: maxUnsettledRecords, most: maxUnsettledRecords, total: int64(l.foreseen)}.admits(have, have+1, others)
	})
	return is
}
