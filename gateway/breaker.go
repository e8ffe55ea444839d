// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// failuresToOpen is how many first attempts must fail in a row before a
	// webhook's events go the durable way.
	failuresToOpen = 3
	// minOpen and maxOpen bound how long that lasts before one attempt
	// finds out.
	minOpen = time.Second
	maxOpen = 30 * time.Second
	// minSlowOpen and maxSlowOpen do so for an endpoint that was slower than the wait. The
	// first time may be a hiccup of the whole machine, and to store every event to a
	// webhook that is busy makes that worse.
	minSlowOpen = time.Second
	maxSlowOpen = 2 * time.Minute
	// provenFor is how long a success counts as lately.
	provenFor = 10 * time.Minute
	// healthyFor is for how long a success counts more than a status that says failing.
	healthyFor = 30 * time.Second
)

// hangingFor is how long an endpoint is the controller's alone after one of its
// attempts has timed out and none has ended otherwise since. A first attempt would
// most likely hang as well: it costs the publisher the wait, and the API server a
// write more than to store the delivery first.
const hangingFor = 2 * time.Minute

// endpointState is what is known of one webhook.
type endpointState struct {
	key                 webhookKey
	url                 string
	signing             v1alpha1.SecretKeyReference
	revision            string // of url and signing
	destination         *destinationSlots
	underWay            int
	lastSuccess         time.Time
	latencyAverage      time.Duration // moving average of the time to an answer
	consecutiveFailures int           // failures in a row
	lastFailure         time.Time
	consecutiveSlow     int // times in a row that it was slower than the wait
	openUntil           time.Time
	// retryAfter is until when the endpoint asked to be left alone. What came in
	// before goes first.
	retryAfter time.Time
	queue      list.List // of *turn, who wait for a slot
}

func (e *endpointState) isProven(now time.Time) bool { return now.Sub(e.lastSuccess) <= provenFor }

// isHealthy reports whether this process has just seen the endpoint of a webhook do well:
// later than it is said to have failed, or a moment ago. That counts more than a
// status, which says failing after one refusal among a hundred successes a second.
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

// isTripped reports whether one attempt finds out how the endpoint does.
func (e *endpointState) isTripped() bool {
	return e.consecutiveFailures >= failuresToOpen || e.consecutiveSlow > 0
}

func (e *endpointState) isEndpointOf(webhook *v1alpha1.Webhook) bool {
	return e.url == webhook.Spec.URL && e.signing == signingsecret.RefOf(webhook)
}

// observeSlow closes a webhook whose endpoint was slower than an endpoint may be.
func (e *endpointState) observeSlow(now time.Time) {
	if now.Before(e.openUntil) && e.consecutiveSlow > 0 {
		return // it was out together with the one that was heeded
	}
	e.consecutiveSlow++
	e.openForSlow(now)
}

// openForSlow leaves an endpoint alone from now on that is slow, longer each time in a row.
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

// applyRetryAfter leaves a webhook alone whose endpoint asked for it.
func (e *endpointState) applyRetryAfter(until time.Time) {
	e.consecutiveFailures = max(e.consecutiveFailures, failuresToOpen)
	e.retryAfter = until
	e.open(until)
}

// classify reports whether an endpoint fails or hangs, or is slow, as far as is known
// here.
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

// isPrompt reports whether attempts of this webhook end soon, as far as is known.
func (e *endpointState) isPrompt(slowAfter time.Duration, now time.Time) bool {
	return e.consecutiveSlow == 0 && e.consecutiveFailures < failuresToOpen && e.latencyAverage <= slowAfter/4 && !now.Before(e.openUntil)
}

// allowProbe lets one attempt find out at once how an endpoint does that failed and that
// has taken a retry since. The pause goes on if it was slow, or asked for it.
func (e *endpointState) allowProbe() {
	if e.consecutiveFailures >= failuresToOpen && e.consecutiveSlow == 0 && e.retryAfter.IsZero() {
		e.openUntil = time.Time{}
	}
}

// isHanging reports whether the endpoint of a webhook lets attempts time out.
func (l *limiter) isHanging(e *endpointState, now time.Time) bool {
	observed := l.observations[e.key]
	if observed == nil || !e.concerns(observed.latest) {
		return false
	}
	latest := observed.latest
	return latest.timedOut && now.Sub(latest.endTime) < hangingFor && !e.lastSuccess.After(latest.endTime)
}
