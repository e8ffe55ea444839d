// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// memory holds the answers of our own writes until the cache shows them.
// After an outage of the API server writes work up to 30 s before caches do,
// so deliveries go on from here and not from a stale cache.
type memory struct {
	mu      sync.Mutex
	written map[types.UID]*v1alpha1.WebhookDelivery
	owed    map[types.UID]*v1alpha1.WebhookDeliveryStatus // refused for good, tried again now and then
	refused map[types.UID]time.Time                       // since when, of writes that may still be allowed
	passed  map[types.UID]int                             // how often in a row somebody else wrote first
	// doubted are the deliveries with a write that has not been answered, or not
	// by yes or no, as they were before it: not more than unsettled attempts.
	doubted map[types.NamespacedName]*v1alpha1.WebhookDelivery
}

func newMemory() *memory {
	return &memory{
		written: map[types.UID]*v1alpha1.WebhookDelivery{},
		owed:    map[types.UID]*v1alpha1.WebhookDeliveryStatus{},
		refused: map[types.UID]time.Time{},
		passed:  map[types.UID]int{},
		doubted: map[types.NamespacedName]*v1alpha1.WebhookDelivery{},
	}
}

// remember keeps an object as the API server returned it.
func (m *memory) remember(delivery *v1alpha1.WebhookDelivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written[delivery.UID] = delivery
}

// owe keeps a status that the API server refused; nil: it is written now.
func (m *memory) owe(uid types.UID, status *v1alpha1.WebhookDeliveryStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.refused, uid)
	delete(m.passed, uid)
	if status == nil {
		delete(m.owed, uid)
		return
	}
	m.owed[uid] = status
}

// refusedFor notes that a status was refused and returns for how long it has
// been.
func (m *memory) refusedFor(uid types.UID, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	since, ok := m.refused[uid]
	if !ok {
		m.refused[uid], since = now, now
	}
	return now.Sub(since)
}

// overtaken notes that somebody else has written a delivery between our read and our
// write, and returns how often that had happened in a row before.
func (m *memory) overtaken(uid types.UID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.passed[uid]
	m.passed[uid]++
	return before
}

// owing returns the status that is still to be written; nil: none.
func (m *memory) owing(uid types.UID) *v1alpha1.WebhookDeliveryStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owed[uid]
}

// newest returns whichever is newer: the cached object or what we remember of
// it. caughtUp tells that the cache shows everything that we wrote.
func (m *memory) newest(cached *v1alpha1.WebhookDelivery) (delivery *v1alpha1.WebhookDelivery, caughtUp bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ours, ok := m.written[cached.UID]
	if !ok {
		return cached, true
	}
	if newer(ours.ResourceVersion, cached.ResourceVersion) {
		return ours.DeepCopy(), false
	}
	delete(m.written, cached.UID)
	return cached, true
}

// isEcho reports whether a watch event shows just what we wrote, and forgets
// what the cache now knows.
func (m *memory) isEcho(uid types.UID, resourceVersion string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ours, ok := m.written[uid]
	if !ok {
		return false
	}
	if newer(ours.ResourceVersion, resourceVersion) {
		return true // older than what we acted on already
	}
	delete(m.written, uid)
	return ours.ResourceVersion == resourceVersion
}

func (m *memory) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.written, uid)
	delete(m.owed, uid)
	delete(m.refused, uid)
	delete(m.passed, uid)
	for key, before := range m.doubted { // has but a few
		if before.UID == uid {
			delete(m.doubted, key)
		}
	}
}

// doubt keeps a delivery as it was before a write. If that ends without an
// answer the API server may have taken it; then it is accounted for once that
// shows.
func (m *memory) doubt(before *v1alpha1.WebhookDelivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.doubted[keyOf(before)]; !ok || known.UID != before.UID {
		m.doubted[keyOf(before)] = before
	}
}

// doubts reports whether a write for a delivery of this name is in doubt.
func (m *memory) doubts(key types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doubted[key] != nil
}

// doubtful returns a delivery as it was before the write that is in doubt; nil
// if none is.
func (m *memory) doubtful(delivery *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.doubted[keyOf(delivery)]; ok && before.UID == delivery.UID {
		return before
	}
	return nil
}

// believe ends the doubt: it is known what became of the write.
func (m *memory) believe(delivery *v1alpha1.WebhookDelivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.doubted[keyOf(delivery)]; ok && before.UID == delivery.UID {
		delete(m.doubted, keyOf(delivery))
	}
}

// lost ends the doubt about a delivery that exists no more, or only under
// another uid, and returns its uid; "" if live is the one in doubt.
func (m *memory) lost(key types.NamespacedName, live *v1alpha1.WebhookDelivery) types.UID {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, ok := m.doubted[key]
	if !ok || live != nil && live.UID == before.UID {
		return ""
	}
	delete(m.doubted, key)
	return before.UID
}

// newer compares resource versions, which are comparable numbers within one
// resource (KEP-5504). One that is not a number counts as older.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}
