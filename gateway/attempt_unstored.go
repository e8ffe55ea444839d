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
	// be stored, unstoredBytes what all of them may take in memory, the oldest go first.
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
}

type unstoredAttempt struct {
	delivery types.NamespacedName
	flight   *flight
	since    time.Time
}

func (u *unstoredAttempt) bytes() int64 { return unstoredEach + int64(len(u.flight.draft.payload)) }

func newUnstored(now func() time.Time) *unstored {
	return &unstored{now: now, attempts: map[types.NamespacedName]*list.Element{}}
}

func nameOf(webhook *v1alpha1.Webhook, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: webhook.Namespace, Name: name}
}

// keep remembers an attempt, in place of what was known of its delivery.
func (u *unstored) keep(f *flight) {
	u.mu.Lock()
	defer u.mu.Unlock()
	attempt := &unstoredAttempt{nameOf(f.draft.webhook, f.draft.name()), f, u.now()}
	u.drop(u.attempts[attempt.delivery])
	u.attempts[attempt.delivery] = u.oldest.PushBack(attempt)
	u.bytes += attempt.bytes()
	u.expire()
}

// find returns the attempt that was made of a delivery to the endpoint that its
// webhook has now; nil: none is known.
func (u *unstored) find(webhook *v1alpha1.Webhook, name string) *flight {
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
func (u *unstored) settle(f *flight) {
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

// expire drops what is too old, and the oldest where there is too much.
func (u *unstored) expire() {
	for element := u.oldest.Front(); element != nil; element = u.oldest.Front() {
		if u.bytes <= unstoredBytes && u.now().Sub(attemptIn(element).since) < unstoredFor {
			return
		}
		u.drop(element)
	}
}

func (u *unstored) drop(element *list.Element) {
	if element == nil {
		return
	}
	attempt := attemptIn(element)
	u.oldest.Remove(element)
	delete(u.attempts, attempt.delivery)
	u.bytes -= attempt.bytes()
}

func attemptIn(element *list.Element) *unstoredAttempt {
	attempt, _ := element.Value.(*unstoredAttempt)
	return attempt
}
