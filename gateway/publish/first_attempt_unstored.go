// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"container/list"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// unstoredFor is how long a first attempt without a stored delivery is remembered, unstoredBytes what all of them
	// may take in memory: the namespace that takes most forgets its oldest first.
	unstoredFor   = 10 * time.Minute
	unstoredBytes = 16 << 20
	// unstoredEach is about what one takes in memory in addition to its payload.
	unstoredEach = 2 << 10
)

// unstoredAttempts remembers first attempts whose deliveries could not be stored. When the event is published again
// under its id, the publisher goes on from these attempts instead of repeating them. Safe for concurrent use.
type unstoredAttempts struct {
	now func() time.Time

	mu               sync.Mutex
	byDelivery       map[types.NamespacedName]*list.Element
	byAge            list.List // of unstoredAttempt, the oldest first
	bytes            int64
	bytesByNamespace map[string]int64
}

type unstoredAttempt struct {
	delivery types.NamespacedName
	attempt  *firstAttempt
	storedAt time.Time
	bytes    int64
}

func newUnstoredAttempts(now func() time.Time) *unstoredAttempts {
	return &unstoredAttempts{now: now, byDelivery: map[types.NamespacedName]*list.Element{}, bytesByNamespace: map[string]int64{}}
}

func unstoredAttemptKey(webhook *v1alpha1.Webhook, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: webhook.Namespace, Name: name}
}

// add remembers an attempt, in place of an earlier one of its delivery.
func (u *unstoredAttempts) add(a *firstAttempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	attempt := &unstoredAttempt{unstoredAttemptKey(a.draft.webhook, a.draft.name()), a, u.now(), unstoredEach + int64(len(a.draft.payload))}
	u.drop(u.byDelivery[attempt.delivery])
	u.byDelivery[attempt.delivery] = u.byAge.PushBack(attempt)
	u.bytes += attempt.bytes
	u.bytesByNamespace[attempt.delivery.Namespace] += attempt.bytes
	u.expire()
}

// find returns the attempt of a delivery to the endpoint that its webhook has now; nil: none is known.
func (u *unstoredAttempts) find(webhook *v1alpha1.Webhook, name string) *firstAttempt {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.expire()
	element := u.byDelivery[unstoredAttemptKey(webhook, name)]
	if element == nil {
		return nil
	}
	a := unstoredAttemptIn(element).attempt
	if a.draft.webhook.UID != webhook.UID || a.endpointRevision != signingsecret.EndpointRevision(webhook) {
		return nil
	}
	return a
}

// remove forgets an attempt whose delivery is stored, or needs no object.
func (u *unstoredAttempts) remove(a *firstAttempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(u.byDelivery[unstoredAttemptKey(a.draft.webhook, a.draft.name())])
}

// forgetWebhook drops the attempts of a deleted webhook.
func (u *unstoredAttempts) forgetWebhook(webhook types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for element := u.byAge.Front(); element != nil; {
		next := element.Next()
		if unstoredAttemptIn(element).attempt.draft.webhook.UID == webhook {
			u.drop(element)
		}
		element = next
	}
}

// expire drops old attempts, and the oldest of the largest namespace while all take too much memory.
func (u *unstoredAttempts) expire() {
	for element := u.byAge.Front(); element != nil; element = u.byAge.Front() {
		if u.now().Sub(unstoredAttemptIn(element).storedAt) < unstoredFor {
			break
		}
		u.drop(element)
	}
	for u.bytes > unstoredBytes {
		u.drop(u.oldestInNamespace(u.largestNamespace()))
	}
}

// largestNamespace is the namespace whose attempts take most memory.
func (u *unstoredAttempts) largestNamespace() (largest string) {
	for namespace, bytes := range u.bytesByNamespace {
		if bytes > u.bytesByNamespace[largest] {
			largest = namespace
		}
	}
	return largest
}

func (u *unstoredAttempts) oldestInNamespace(namespace string) *list.Element {
	element := u.byAge.Front()
	for unstoredAttemptIn(element).delivery.Namespace != namespace {
		element = element.Next()
	}
	return element
}

func (u *unstoredAttempts) drop(element *list.Element) {
	if element == nil {
		return
	}
	attempt := unstoredAttemptIn(element)
	u.byAge.Remove(element)
	delete(u.byDelivery, attempt.delivery)
	u.bytes -= attempt.bytes
	namespace := attempt.delivery.Namespace
	if u.bytesByNamespace[namespace] -= attempt.bytes; u.bytesByNamespace[namespace] == 0 {
		delete(u.bytesByNamespace, namespace)
	}
}

func unstoredAttemptIn(element *list.Element) *unstoredAttempt {
	attempt, _ := element.Value.(*unstoredAttempt)
	return attempt
}

func (u *unstoredAttempts) knownWebhooks() (webhooks []types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for element := u.byAge.Front(); element != nil; element = element.Next() {
		webhooks = append(webhooks, unstoredAttemptIn(element).attempt.draft.webhook.UID)
	}
	return webhooks
}
