// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"container/list"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/destination"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// maxUnproven is how many attempts of an unproven webhook may be under way: one of which no attempt has succeeded
	// lately.
	maxUnproven = 2
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

// limiter bounds the first attempts under way and holds the circuits of endpoints. Webhooks that are not known to
// answer in time share half as many slots again, apart from those of the others: an endpoint that hangs takes no slot
// from one that answers. Safe for concurrent use; nothing here waits.
type limiter struct {
	sizes          [2]int // slots, by kind
	perWebhook     int
	perDestination int
	slowAfter      time.Duration

	mu                sync.Mutex
	used              [2]int                     // by kind
	namespaces        map[string]*namespaceSlots // by namespace
	prompt            list.List                  // of *slot: attempts under way that do not count as slow, oldest first
	queue             sharedWaitQueue            // for the bounds that webhooks share
	endpoints         map[webhookKey]*endpointState
	destinations      map[string]*destinationSlots
	observations      map[webhookKey]*endpointObservations // what objects tell of endpoints
	observationsSwept time.Time                            // when expired observations were last dropped
}

// Kinds of slots: of webhooks known to answer in time, and of all others.
const (
	kindPrompt = iota
	kindUncertain
)

type destinationSlots struct {
	address     string
	underWay    int
	byNamespace map[string]int // attempts under way
	endpoints   int
}

func newLimiter(total, perWebhook, perDestination int, slowAfter time.Duration) *limiter {
	return &limiter{
		sizes: [2]int{total, max(1, total/2)}, perWebhook: perWebhook, perDestination: perDestination, slowAfter: slowAfter,
		namespaces: map[string]*namespaceSlots{}, queue: newSharedWaitQueue(),
		endpoints: map[webhookKey]*endpointState{}, destinations: map[string]*destinationSlots{}, observations: map[webhookKey]*endpointObservations{},
	}
}

// slot is the permission for one attempt under way.
type slot struct {
	endpoint    *endpointState
	destination *destinationSlots
	kind        int
	began       time.Time
	element     *list.Element // in limiter.prompt, unless slow
	slow        bool
}

// acquire gives a webhook a slot. hasWaiting reports whether deliveries accepted before the given time wait; it is
// called rarely, and without the lock.
func (l *limiter) acquire(webhook *v1alpha1.Webhook, now time.Time, hasWaiting func(before time.Time) bool) (*slot, refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.markSlow(now)
	e := l.endpoint(webhook, now)
	if retryAfter := e.retryAfter; !retryAfter.IsZero() && !now.Before(e.openUntil) {
		l.mu.Unlock()
		waits := hasWaiting(retryAfter)
		l.mu.Lock()
		e = l.endpoint(webhook, now) // the webhook may have been forgotten meanwhile
		switch {
		case waits:
			e.open(now.Add(minOpen))
		case e.retryAfter.Equal(retryAfter):
			e.retryAfter = time.Time{}
		}
	}
	if now.Before(e.openUntil) || l.isHanging(e, now) {
		return nil, refusedCircuitOpen
	}
	if e.underWay >= l.maxUnderWay(e, now) || !l.hasFreeSlot(e, now) {
		return nil, refusedFull
	}
	e.underWay++
	s := &slot{endpoint: e, destination: e.destination, kind: l.slotKind(e, now), began: now}
	s.element = l.prompt.PushBack(s)
	l.charge(s, 1)
	return s, ""
}

// maxUnderWay is how many attempts of a webhook may be under way.
func (l *limiter) maxUnderWay(e *endpointState, now time.Time) int {
	switch {
	case e.isTripped():
		return 1
	case !e.isProven(now):
		return maxUnproven
	}
	return l.perWebhook
}

// endpoint returns the state of a webhook's endpoint. Another url or signing secret is another endpoint: its state
// begins with what objects tell of it.
func (l *limiter) endpoint(webhook *v1alpha1.Webhook, now time.Time) *endpointState {
	key := keyOf(webhook)
	e := l.endpoints[key]
	if e != nil && e.isEndpointOf(webhook) {
		return e
	}
	if e != nil {
		l.dropEndpoint(e)
	}
	e = &endpointState{
		key: key, url: webhook.Spec.URL, signing: signingsecret.RefOf(webhook), revision: signingsecret.EndpointRevision(webhook),
		destination: l.destination(destination.Parse(webhook.Spec.URL)),
	}
	if observed := l.observations[key]; observed != nil {
		e.applyObservedRetryAfter(observed.longestRetryAfter, now)
	}
	e.destination.endpoints++
	l.namespace(key.namespace).endpoints++
	l.endpoints[key] = e
	return e
}

func (l *limiter) destination(address string) *destinationSlots {
	d := l.destinations[address]
	if d == nil {
		d = &destinationSlots{address: address, byNamespace: map[string]int{}}
		l.destinations[address] = d
	}
	return d
}

func (l *limiter) dropEndpoint(e *endpointState) {
	e.destination.endpoints--
	l.dropDestination(e.destination)
	l.namespace(e.key.namespace).endpoints--
	l.dropNamespace(e.key.namespace)
}

func (l *limiter) dropDestination(d *destinationSlots) {
	if d.endpoints == 0 && d.underWay == 0 {
		delete(l.destinations, d.address)
	}
}

// forgetWebhook drops the state of a deleted webhook.
func (l *limiter) forgetWebhook(webhook webhookKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.endpoints[webhook]; e != nil {
		l.dropEndpoint(e)
		delete(l.endpoints, webhook)
	}
	delete(l.observations, webhook)
}

// release gives a slot back whose attempt was lost, so that nothing is learned from it.
func (l *limiter) release(s *slot, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack(s)
	l.wakeNext(s.endpoint, now)
}

func (l *limiter) giveBack(s *slot) {
	if !s.slow {
		l.prompt.Remove(s.element)
	}
	s.endpoint.underWay--
	l.charge(s, -1)
}

// releaseWithResult gives a slot back and updates the state of the endpoint.
func (l *limiter) releaseWithResult(s *slot, result *dispatcher.Result, took time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack(s)
	e := s.endpoint
	defer l.wakeNext(e, now)
	slow := took >= l.slowAfter
	if result.StatusCode != 0 && result.Reason != dispatcher.ReasonTimeout {
		if e.latencyAverage == 0 {
			e.latencyAverage = took
		}
		e.latencyAverage = (3*e.latencyAverage + took) / 4
	}
	switch {
	case slow && !s.slow:
		e.observeSlow(now)
	case slow:
		e.openForSlow(now) // the endpoint was busy until now
	default:
		e.consecutiveSlow = 0
	}
	if result.Succeeded() {
		e.consecutiveFailures, e.lastSuccess = 0, now
		if e.consecutiveSlow == 0 && e.retryAfter.IsZero() {
			e.openUntil = time.Time{}
		}
		return
	}
	e.consecutiveFailures++
	e.lastFailure = now
	switch {
	case !result.RetryAfter.IsZero():
		e.applyRetryAfter(result.RetryAfter)
	case result.Reason == dispatcher.ReasonGone:
		e.consecutiveFailures = max(e.consecutiveFailures, failuresToOpen)
		e.open(now.Add(maxOpen)) // the controller disables the webhook meanwhile
	case e.consecutiveFailures >= failuresToOpen:
		e.open(now.Add(min(minOpen<<min(e.consecutiveFailures-failuresToOpen, 8), maxOpen)))
	}
}

// underWay is how many attempts are under way.
func (l *limiter) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used[kindPrompt] + l.used[kindUncertain]
}
