// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

const (
	// unstoredFor is how long a first attempt is remembered whose delivery could not
	// be stored, unstoredBytes what all of them may take in memory: the namespace that
	// has most forgets its oldest first.
	unstoredFor   = 10 * time.Minute
	unstoredBytes = 16 << 20
	// unstoredEach is what one takes beside its payload, about.
	unstoredEach = 2 << 10
)

// unstored remembers first attempts whose deliveries could not be stored. An event
// that is repeated with its id goes on from what was attempted, instead of being
// attempted again for each repetition. Safe for concurrent use.
type unstored struct {
	now func() time.Time

	mu       sync.Mutex
	attempts map[types.NamespacedName]*list.Element // by delivery
	oldest   list.List                              // of unstoredAttempt, the oldest first
	bytes    int64
	bytesOf  map[string]int64 // by namespace
}

type unstoredAttempt struct {
	delivery types.NamespacedName
	flight   *firstAttempt
	since    time.Time
	bytes    int64
}

func newUnstored(now func() time.Time) *unstored {
	return &unstored{now: now, attempts: map[types.NamespacedName]*list.Element{}, bytesOf: map[string]int64{}}
}

func nameOf(webhook *v1alpha1.Webhook, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: webhook.Namespace, Name: name}
}

// keep remembers an attempt, in place of what was known of its delivery.
func (u *unstored) keep(f *firstAttempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	attempt := &unstoredAttempt{nameOf(f.draft.webhook, f.draft.name()), f, u.now(), unstoredEach + int64(len(f.draft.payload))}
	u.drop(u.attempts[attempt.delivery])
	u.attempts[attempt.delivery] = u.oldest.PushBack(attempt)
	u.bytes += attempt.bytes
	u.bytesOf[attempt.delivery.Namespace] += attempt.bytes
	u.expire()
}

// find returns the attempt that was made of a delivery to the endpoint that its
// webhook has now; nil: none is known.
func (u *unstored) find(webhook *v1alpha1.Webhook, name string) *firstAttempt {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.expire()
	element := u.attempts[nameOf(webhook, name)]
	if element == nil {
		return nil
	}
	f := attemptIn(element).flight
	if f.draft.webhook.UID != webhook.UID || f.revision != signer.EndpointRevision(webhook) {
		return nil
	}
	return f
}

// settle forgets an attempt whose delivery needs no other.
func (u *unstored) settle(f *firstAttempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(u.attempts[nameOf(f.draft.webhook, f.draft.name())])
}

// forget drops what is known of a webhook that is gone.
func (u *unstored) forget(webhook types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for element := u.oldest.Front(); element != nil; {
		next := element.Next()
		if attemptIn(element).flight.draft.webhook.UID == webhook {
			u.drop(element)
		}
		element = next
	}
}

// expire drops what is too old, and where there is too much the oldest of the
// namespace that has most.
func (u *unstored) expire() {
	for element := u.oldest.Front(); element != nil; element = u.oldest.Front() {
		if u.now().Sub(attemptIn(element).since) < unstoredFor {
			break
		}
		u.drop(element)
	}
	for u.bytes > unstoredBytes {
		u.drop(u.oldestOf(u.largest()))
	}
}

// largest is the namespace whose attempts take most.
func (u *unstored) largest() (largest string) {
	for namespace, bytes := range u.bytesOf {
		if bytes > u.bytesOf[largest] {
			largest = namespace
		}
	}
	return largest
}

func (u *unstored) oldestOf(namespace string) *list.Element {
	element := u.oldest.Front()
	for attemptIn(element).delivery.Namespace != namespace {
		element = element.Next()
	}
	return element
}

func (u *unstored) drop(element *list.Element) {
	if element == nil {
		return
	}
	attempt := attemptIn(element)
	u.oldest.Remove(element)
	delete(u.attempts, attempt.delivery)
	u.bytes -= attempt.bytes
	namespace := attempt.delivery.Namespace
	if u.bytesOf[namespace] -= attempt.bytes; u.bytesOf[namespace] == 0 {
		delete(u.bytesOf, namespace)
	}
}

func attemptIn(element *list.Element) *unstoredAttempt {
	attempt, _ := element.Value.(*unstoredAttempt)
	return attempt
}
