// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"container/list"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// failuresToOpen is how many consecutive failures of first attempts open the circuit of a webhook: its deliveries
	// are stored first from then on.
	failuresToOpen = 3
	// minOpen and maxOpen bound how long the circuit stays open before a probe.
	minOpen = time.Second
	maxOpen = 30 * time.Second
	// minSlowOpen and maxSlowOpen do so after a slow attempt. The first one may be a hiccup of the whole machine, and
	// storing every event of a busy webhook makes that worse.
	minSlowOpen = time.Second
	maxSlowOpen = 2 * time.Minute
	// provenFor is how long a success keeps a webhook proven.
	provenFor = 10 * time.Minute
	// healthyFor is for how long a success counts more than a status that says Failing.
	healthyFor = 30 * time.Second
)

// hangingFor is how long the gateway makes no first attempts after an attempt to the endpoint has timed out, unless a
// later one ends otherwise. A first attempt would most likely time out as well: the publisher waits in vain, and the
// API server takes one write more than if the delivery is stored first.
const hangingFor = 2 * time.Minute

// endpointState is what the gateway knows of the endpoint of one webhook: its circuit, latency and slots. The circuit
// is closed (attempts flow), open until openUntil, then half-open: one probe finds out.
type endpointState struct {
	key                 webhookKey
	url                 string
	signing             v1alpha1.SecretKeyReference
	revision            string // of url and signing secret
	destination         *destinationSlots
	underWay            int
	lastSuccess         time.Time
	latencyAverage      time.Duration // of the time to an answer
	consecutiveFailures int
	lastFailure         time.Time
	consecutiveSlow     int // attempts in a row that were slower than the publisher's wait
	openUntil           time.Time
	// retryAfter is the end of the Retry-After hold. Deliveries accepted before that time go first.
	retryAfter time.Time
	queue      list.List // of *waiter
}

func (e *endpointState) isProven(now time.Time) bool { return now.Sub(e.lastSuccess) <= provenFor }

// isHealthy reports whether this gateway has seen a success that counts more than a status of Failing: a moment ago, or
// after the failure that the status tells of. The status says Failing after one refusal among a hundred successes a
// second.
func (l *limiter) isHealthy(webhook *v1alpha1.Webhook, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoints[keyOf(webhook)]
	if e == nil || !e.isEndpointOf(webhook) || e.lastSuccess.IsZero() || e.isTripped() {
		return false
	}
	failed := webhook.Status.LastFailureTime
	return now.Sub(e.lastSuccess) <= healthyFor || failed != nil && e.lastSuccess.After(failed.Time)
}

// isTripped reports whether the circuit is open or half-open.
func (e *endpointState) isTripped() bool {
	return e.consecutiveFailures >= failuresToOpen || e.consecutiveSlow > 0
}

func (e *endpointState) isEndpointOf(webhook *v1alpha1.Webhook) bool {
	return e.url == webhook.Spec.URL && e.signing == signingsecret.RefOf(webhook)
}

// observeSlow opens the circuit after an attempt that took longer than an endpoint may.
func (e *endpointState) observeSlow(now time.Time) {
	if now.Before(e.openUntil) && e.consecutiveSlow > 0 {
		return // the attempt was under way together with the one that opened the circuit
	}
	e.consecutiveSlow++
	e.openForSlow(now)
}

// openForSlow opens the circuit of a slow endpoint from now on, for longer each time in a row.
func (e *endpointState) openForSlow(now time.Time) {
	if e.consecutiveSlow == 0 {
		return // another attempt has been answered in time since
	}
	e.open(now.Add(min(minSlowOpen<<min(e.consecutiveSlow-1, 8), maxSlowOpen)))
}

func (e *endpointState) open(until time.Time) {
	if until.After(e.openUntil) {
		e.openUntil = until
	}
}

// applyRetryAfter opens the circuit until the endpoint's Retry-After hold ends.
func (e *endpointState) applyRetryAfter(until time.Time) {
	e.consecutiveFailures = max(e.consecutiveFailures, failuresToOpen)
	e.retryAfter = until
	e.open(until)
}

// classify reports whether an endpoint fails or hangs, or is slow, according to its state in this gateway.
func (l *limiter) classify(webhook *v1alpha1.Webhook, now time.Time) (fails, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.markSlow(now)
	e := l.endpoints[keyOf(webhook)]
	if e == nil || !e.isEndpointOf(webhook) {
		e = &endpointState{key: keyOf(webhook), revision: signingsecret.EndpointRevision(webhook)}
	}
	return e.consecutiveFailures >= failuresToOpen && e.retryAfter.IsZero() || l.isHanging(e, now), e.isTripped()
}

// isPrompt reports whether attempts of this webhook are likely to end soon.
func (e *endpointState) isPrompt(slowAfter time.Duration, now time.Time) bool {
	return e.consecutiveSlow == 0 && e.consecutiveFailures < failuresToOpen && e.latencyAverage <= slowAfter/4 && !now.Before(e.openUntil)
}

// allowProbe makes an open circuit half-open at once, after a retry has succeeded. It stays open for a slow endpoint
// and during a Retry-After hold.
func (e *endpointState) allowProbe() {
	if e.consecutiveFailures >= failuresToOpen && e.consecutiveSlow == 0 && e.retryAfter.IsZero() {
		e.openUntil = time.Time{}
	}
}

// isHanging reports whether the latest attempt to the endpoint timed out, a short while ago.
func (l *limiter) isHanging(e *endpointState, now time.Time) bool {
	observed := l.observations[e.key]
	if observed == nil || !e.concerns(observed.latest) {
		return false
	}
	latest := observed.latest
	return latest.timedOut && now.Sub(latest.endTime) < hangingFor && !e.lastSuccess.After(latest.endTime)
}
