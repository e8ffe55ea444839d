// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"maps"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/destination"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// maxUnproven is how many attempts to an unproven endpoint may be under way.
	maxUnproven = 2
	// overrulesStatusFor is for how long a success counts more than a status that says Failing.
	overrulesStatusFor = 30 * time.Second
)

// refusal is the reason why a delivery gets no first attempt; "" if it gets one. It is the label of a metric.
type refusal string

const (
	refusedOff         refusal = "off"         // the gateway makes no first attempts
	refusedAsync       refusal = "async"       // the publisher asked not to wait
	refusedTooOld      refusal = "tooOld"      // this gateway does not know all of the webhook's spec
	refusedNotActive   refusal = "notActive"   // failing, suspended, or not seen by the controller yet
	refusedSecret      refusal = "secret"      // no secret at hand
	refusedCircuitOpen refusal = "circuitOpen" // the endpoint was slow, failed, or asked for a pause
	refusedFull        refusal = "full"        // no free slot
	refusedReading     refusal = "reading"     // its secret is being read: tried again within the request
	refusedLate        refusal = "late"        // the request's time is nearly over
)

// limiter is the endpoint.Limiter of first attempts, with the endpoints of webhooks and what objects tell of them. Safe
// for concurrent use; nothing here waits.
type limiter struct {
	mu                sync.Mutex
	slots             *endpoint.Limiter
	endpoints         map[webhookKey]*limitedEndpoint
	observations      map[webhookKey]*endpointObservations // what objects tell of endpoints
	observationsSwept time.Time                            // when expired observations were last dropped
}

// limitedEndpoint is what the gateway knows of the endpoint of one webhook.
type limitedEndpoint struct {
	endpoint.Endpoint

	key     webhookKey
	url     string
	signing v1alpha1.SecretKeyReference
}

func newLimiter(total, perWebhook, perDestination int, slowAfter time.Duration) *limiter {
	return &limiter{
		slots: endpoint.NewLimiter(endpoint.Limits{
			Rules: endpoint.Rules{PerWebhook: perWebhook, Initial: maxUnproven, SlowAfter: slowAfter, OpenIfSlow: true},
			Slots: total, PerDestination: perDestination,
		}),
		endpoints: map[webhookKey]*limitedEndpoint{}, observations: map[webhookKey]*endpointObservations{},
	}
}

// acquire gives a webhook a slot. hasWaiting reports whether deliveries accepted before the given time wait; it is
// called rarely, and without the lock.
func (l *limiter) acquire(webhook *v1alpha1.Webhook, now time.Time, hasWaiting func(before time.Time) bool) (*endpoint.Slot, refusal) {
	if ended := l.endedHold(webhook, now); !ended.IsZero() { // deliveries accepted before that time go first
		l.settleHold(webhook, ended, hasWaiting(ended), now)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoint(webhook, now)
	if l.isHanging(e, now) {
		return nil, refusedCircuitOpen
	}
	s, reason := l.slots.Acquire(&e.Endpoint, now)
	switch reason {
	case endpoint.CircuitOpen:
		return nil, refusedCircuitOpen
	case endpoint.Full:
		return nil, refusedFull
	}
	return s, ""
}

// endedHold returns the end of the Retry-After hold of an endpoint, if it has ended and nothing followed from that yet.
func (l *limiter) endedHold(webhook *v1alpha1.Webhook, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.MarkSlow(now)
	return l.endpoint(webhook, now).EndedHold(now)
}

// settleHold drops a Retry-After hold that has ended, unless deliveries wait that go first.
func (l *limiter) settleHold(webhook *v1alpha1.Webhook, ended time.Time, waits bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.endpoint(webhook, now); waits {
		e.Postpone(now)
	} else {
		e.DropHold(ended)
	}
}

// endpoint returns the state of a webhook's endpoint. Another url or signing secret is another endpoint: its state
// begins with what objects tell of it.
func (l *limiter) endpoint(webhook *v1alpha1.Webhook, now time.Time) *limitedEndpoint {
	key := newWebhookKey(webhook)
	e := l.endpoints[key]
	if e != nil && e.isEndpointOf(webhook) {
		return e
	}
	if e != nil {
		l.slots.Remove(&e.Endpoint)
	}
	e = &limitedEndpoint{key: key, url: webhook.Spec.URL, signing: signingsecret.RefOf(webhook)}
	e.Revision = signingsecret.EndpointRevision(webhook)
	l.slots.Add(&e.Endpoint, key.namespace, destination.Parse(webhook.Spec.URL))
	if observed := l.observations[key]; observed != nil {
		e.applyObservedRetryAfter(observed.longestRetryAfter, now)
	}
	l.endpoints[key] = e
	return e
}

func (e *limitedEndpoint) isEndpointOf(webhook *v1alpha1.Webhook) bool {
	return e.url == webhook.Spec.URL && e.signing == signingsecret.RefOf(webhook)
}

// forgetWebhook drops the state of a deleted webhook.
func (l *limiter) forgetWebhook(webhook webhookKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.endpoints[webhook]; e != nil {
		l.slots.Remove(&e.Endpoint)
		delete(l.endpoints, webhook)
	}
	delete(l.observations, webhook)
}

// release gives a slot back whose attempt was lost, so that nothing is learned from it.
func (l *limiter) release(s *endpoint.Slot, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.Release(s, now)
}

// releaseWithResult gives a slot back and updates the state of the endpoint.
func (l *limiter) releaseWithResult(s *endpoint.Slot, result *dispatcher.Result, took time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.ReleaseWithResult(s, result.Evidence(), took, now)
}

// isHealthy reports whether this gateway has seen a success that counts more than a status of Failing: a moment ago, or
// after the failure that the status tells of. The status says Failing after one refusal among a hundred successes a
// second.
func (l *limiter) isHealthy(webhook *v1alpha1.Webhook, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoints[newWebhookKey(webhook)]
	if e == nil || !e.isEndpointOf(webhook) || e.LastSuccess().IsZero() || e.IsTripped() {
		return false
	}
	failed := webhook.Status.LastFailureTime
	return now.Sub(e.LastSuccess()) <= overrulesStatusFor || failed != nil && e.LastSuccess().After(failed.Time)
}

// classify reports whether an endpoint fails or hangs, or is slow, according to its state in this gateway.
func (l *limiter) classify(webhook *v1alpha1.Webhook, now time.Time) (fails, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.MarkSlow(now)
	e := l.endpoints[newWebhookKey(webhook)]
	if e == nil || !e.isEndpointOf(webhook) {
		e = &limitedEndpoint{key: newWebhookKey(webhook)}
		e.Revision = signingsecret.EndpointRevision(webhook)
	}
	return e.IsFailing() || l.isHanging(e, now), e.IsTripped()
}

// enqueue adds a waiter for a slot of a webhook that has none free. It returns nil where waiting is of no use.
func (l *limiter) enqueue(webhook *v1alpha1.Webhook, now time.Time) *endpoint.Waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.MarkSlow(now)
	return l.slots.Enqueue(&l.endpoint(webhook, now).Endpoint, now)
}

// dequeue removes a waiter that does not take a slot. If it was woken already, the next one is woken in its place.
func (l *limiter) dequeue(w *endpoint.Waiter, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.Dequeue(w, now)
}

// underWay is how many attempts are under way.
func (l *limiter) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, _ := l.slots.UnderWay()
	return all
}

// isHanging reports whether the latest attempt to the endpoint that objects tell of timed out, a short while ago. A
// first attempt would most likely time out as well: the publisher waits in vain, and the API server takes one write
// more than if the delivery is stored first.
func (l *limiter) isHanging(e *limitedEndpoint, now time.Time) bool {
	observed := l.observations[e.key]
	if observed == nil || !e.concerns(observed.latest) {
		return false
	}
	latest := observed.latest
	return latest.TimedOut && now.Sub(latest.EndTime) < endpoint.HangingFor && !e.LastSuccess().After(latest.EndTime)
}

func (l *limiter) knownWebhooks() []webhookKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Keys(l.endpoints)), maps.Keys(l.observations))
}

// concerns reports whether an attempt went to the endpoint that the webhook has now.
func (e *limitedEndpoint) concerns(attempt store.LatestAttempt) bool {
	return attempt.Revision == "" || attempt.Revision == e.Revision
}
