// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// pendingWrites keeps the status of each delivery that we wrote, or want to write, until
// the cache shows it. After an outage of the API server writes work up to 30 s before
// caches do, so passes start from here and not from a stale cache.
type pendingWrites struct {
	mu             sync.Mutex
	written        map[types.UID]*v1alpha1.WebhookDelivery
	deferred       map[types.UID]*v1alpha1.WebhookDeliveryStatus // refused for good, written again every unwritableRetry
	refusedSince   map[types.UID]time.Time                       // first refusal of a write that may still be allowed
	overtakenCount map[types.UID]int                             // conflicts in a row with other clients
	// unconfirmed are the deliveries with a write that has not been answered, or not
	// by yes or no, as they were before it: not more than unsettled attempts.
	unconfirmed map[types.NamespacedName]*v1alpha1.WebhookDelivery
}

func newPendingWrites() *pendingWrites {
	return &pendingWrites{
		written:        map[types.UID]*v1alpha1.WebhookDelivery{},
		deferred:       map[types.UID]*v1alpha1.WebhookDeliveryStatus{},
		refusedSince:   map[types.UID]time.Time{},
		overtakenCount: map[types.UID]int{},
		unconfirmed:    map[types.NamespacedName]*v1alpha1.WebhookDelivery{},
	}
}

// keepWritten keeps an object as the API server returned it.
func (p *pendingWrites) keepWritten(delivery *v1alpha1.WebhookDelivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written[delivery.UID] = delivery
}

// deferStatus keeps a status that the API server refused; nil: it has been written.
func (p *pendingWrites) deferStatus(uid types.UID, status *v1alpha1.WebhookDeliveryStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.refusedSince, uid)
	delete(p.overtakenCount, uid)
	if status == nil {
		delete(p.deferred, uid)
		return
	}
	p.deferred[uid] = status
}

// refusedFor notes a refusal and returns how long ago the first of the row was.
func (p *pendingWrites) refusedFor(uid types.UID, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, ok := p.refusedSince[uid]
	if !ok {
		p.refusedSince[uid], since = now, now
	}
	return now.Sub(since)
}

// countOvertaken notes that another client wrote a delivery between our read and our
// write, and returns how many such conflicts in a row there were before.
func (p *pendingWrites) countOvertaken(uid types.UID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.overtakenCount[uid]
	p.overtakenCount[uid]++
	return before
}

// deferredStatus returns the status that the API server refused before; nil: none.
func (p *pendingWrites) deferredStatus(uid types.UID) *v1alpha1.WebhookDeliveryStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deferred[uid]
}

// newest returns the newer of the cached object and the one that we wrote. caughtUp:
// the cache shows everything that we wrote.
func (p *pendingWrites) newest(cached *v1alpha1.WebhookDelivery) (delivery *v1alpha1.WebhookDelivery, caughtUp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written, ok := p.written[cached.UID]
	if !ok {
		return cached, true
	}
	if isNewerWrite(written.ResourceVersion, cached.ResourceVersion) {
		return written.DeepCopy(), false
	}
	delete(p.written, cached.UID)
	return cached, true
}

// isEcho reports whether a watch event shows just what we wrote, and drops the
// written object once the cache has it.
func (p *pendingWrites) isEcho(uid types.UID, resourceVersion string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	written, ok := p.written[uid]
	if !ok {
		return false
	}
	if isNewerWrite(written.ResourceVersion, resourceVersion) {
		return true // older than the object that we acted on
	}
	delete(p.written, uid)
	return written.ResourceVersion == resourceVersion
}

func (p *pendingWrites) drop(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.written, uid)
	delete(p.deferred, uid)
	delete(p.refusedSince, uid)
	delete(p.overtakenCount, uid)
	for key, before := range p.unconfirmed { // has but a few
		if before.UID == uid {
			delete(p.unconfirmed, key)
		}
	}
}

// markUnconfirmed keeps a delivery as it was before a write. If the write ends without
// an answer, the API server may have applied it; it is accounted for once the cache
// shows it.
func (p *pendingWrites) markUnconfirmed(before *v1alpha1.WebhookDelivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.unconfirmed[client.ObjectKeyFromObject(before)]; !ok || known.UID != before.UID {
		p.unconfirmed[client.ObjectKeyFromObject(before)] = before
	}
}

// hasUnconfirmed reports whether a write of a delivery of this name is unconfirmed.
func (p *pendingWrites) hasUnconfirmed(key types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unconfirmed[key] != nil
}

// unconfirmedBefore returns a delivery as it was before its unconfirmed write; nil: it
// has none.
func (p *pendingWrites) unconfirmedBefore(delivery *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.unconfirmed[client.ObjectKeyFromObject(delivery)]; ok && before.UID == delivery.UID {
		return before
	}
	return nil
}

// confirm drops the unconfirmed write of a delivery: its result is known.
func (p *pendingWrites) confirm(delivery *v1alpha1.WebhookDelivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.unconfirmed[client.ObjectKeyFromObject(delivery)]; ok && before.UID == delivery.UID {
		delete(p.unconfirmed, client.ObjectKeyFromObject(delivery))
	}
}

// confirmGone drops the unconfirmed write of a delivery that no longer exists, or only
// with another uid, and returns its uid; "" if live is the delivery written.
func (p *pendingWrites) confirmGone(key types.NamespacedName, live *v1alpha1.WebhookDelivery) types.UID {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, ok := p.unconfirmed[key]
	if !ok || live != nil && live.UID == before.UID {
		return ""
	}
	delete(p.unconfirmed, key)
	return before.UID
}

// isNewerWrite compares resource versions, which are comparable numbers within one
// resource (KEP-5504). One that is not a number counts as older.
func isNewerWrite(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}
