// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// observeDelivery updates the state of the endpoint that a delivery is for.
func observeDelivery(l *limiter, r *store.DeliveryEntry, now time.Time) {
	l.observeAttempt(webhookKey{namespace: r.Namespace, name: r.Webhook, uid: r.Owner}, r.Latest, now)
}

// endpointObservations are the attempts that objects tell of for the endpoint of one webhook. They are kept as long as
// they are current, whether or not this replica has attempted anything.
type endpointObservations struct {
	latest            store.LatestAttempt // the attempt that ended last
	longestRetryAfter store.LatestAttempt // the attempt with the longest Retry-After hold
}

// isCurrent reports whether any of the observations still counts.
func (o *endpointObservations) isCurrent(now time.Time) bool {
	return now.Sub(o.latest.EndTime) < endpoint.HangingFor || o.longestRetryAfter.RetryAfter.After(now)
}

// observeAttempt updates the state of a webhook's endpoint after an attempt that any process has made.
func (l *limiter) observeAttempt(webhook webhookKey, attempt store.LatestAttempt, now time.Time) {
	if attempt.EndTime.IsZero() || now.Sub(attempt.EndTime) >= endpoint.HangingFor && !attempt.RetryAfter.After(now) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropExpiredObservations(now)
	observed := l.observations[webhook]
	if observed == nil {
		observed = &endpointObservations{}
		l.observations[webhook] = observed
	}
	e := l.endpoints[webhook]
	if attempt.RetryAfter.After(now) && isObservationSuperseded(observed.longestRetryAfter, attempt) {
		observed.longestRetryAfter = attempt
		if e != nil {
			e.applyObservedRetryAfter(attempt, now)
		}
	}
	if !attempt.EndTime.After(observed.latest.EndTime) {
		return
	}
	observed.latest = attempt
	if e != nil && e.concerns(attempt) && attempt.Succeeded && attempt.EndTime.After(e.LastFailure()) {
		e.AllowProbe()
	}
}

// isObservationSuperseded reports whether the Retry-After hold of attempt b replaces that of a: that of the later
// attempt if they went to different endpoints, else the longer one.
func isObservationSuperseded(a, b store.LatestAttempt) bool {
	if a.Revision != b.Revision {
		return b.EndTime.After(a.EndTime)
	}
	return b.RetryAfter.After(a.RetryAfter)
}

// dropExpiredObservations drops observations that are not current, now and then.
func (l *limiter) dropExpiredObservations(now time.Time) {
	if now.Sub(l.observationsSwept) < endpoint.HangingFor {
		return
	}
	l.observationsSwept = now
	for webhook, observed := range l.observations {
		if !observed.isCurrent(now) {
			delete(l.observations, webhook)
		}
	}
}

// applyObservedRetryAfter applies a Retry-After hold that another process was asked for.
func (e *limitedEndpoint) applyObservedRetryAfter(attempt store.LatestAttempt, now time.Time) {
	if e.concerns(attempt) && attempt.RetryAfter.After(now) {
		e.Hold(attempt.RetryAfter)
	}
}
