// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// webhookKey is one Webhook. What a delivery says counts only for the Webhook of its
// own namespace that has the name in its spec and the UID of its owner: anybody can
// write another UID, or another name, into a delivery.
type webhookKey struct {
	namespace, name string
	uid             types.UID
}

func keyOf(webhook *v1alpha1.Webhook) webhookKey {
	return webhookKey{namespace: webhook.Namespace, name: webhook.Name, uid: webhook.UID}
}

// observedAttempt is what an object tells of an endpoint: how the latest attempt of its
// delivery ended.
type observedAttempt struct {
	endTime    time.Time // when it ended; zero: there was none
	revision   string    // of the endpoint; "": it is not known
	timedOut   bool
	succeeded  bool
	retryAfter time.Time // until when the endpoint asked for a pause; zero: it did not
}

// observeAttempt reads it off a delivery. Times that somebody made up are within bounds.
func observeAttempt(delivery *v1alpha1.WebhookDelivery, now time.Time) observedAttempt {
	latest := latestAttempt(delivery)
	if latest == nil {
		return observedAttempt{}
	}
	entry := attemptlog.Bounded(*latest, now)
	observed := observedAttempt{
		endTime: earliest(attemptlog.Ended(&entry), now), revision: entry.EndpointRevision,
		timedOut:  entry.Reason == string(dispatcher.ReasonTimeout),
		succeeded: delivery.Status.State == v1alpha1.DeliverySucceeded,
	}
	if entry.RetryAfterTime != nil {
		observed.retryAfter = entry.RetryAfterTime.Time
	}
	return observed
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// latestAttempt is that of a delivery; nil: there was none, or it is not known.
func latestAttempt(delivery *v1alpha1.WebhookDelivery) *v1alpha1.Attempt {
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		return &log[len(log)-1]
	}
	return delivery.Spec.FirstAttempt
}

// endpointObservations is what objects tell of the endpoint of one webhook. It is kept for as long
// as it matters, whether this replica has attempted anything yet or not.
type endpointObservations struct {
	latest            observedAttempt // the attempt that ended last
	longestRetryAfter observedAttempt // the one by whose Retry-After the pause is longest
}

// isCurrent reports whether anything of it still counts.
func (o *endpointObservations) isCurrent(now time.Time) bool {
	return now.Sub(o.latest.endTime) < hangingFor || o.longestRetryAfter.retryAfter.After(now)
}

// observe takes in how an attempt of a webhook ended, whoever made it.
func (l *limiter) observe(webhook webhookKey, attempt observedAttempt, now time.Time) {
	if attempt.endTime.IsZero() || now.Sub(attempt.endTime) >= hangingFor && !attempt.retryAfter.After(now) {
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
	if attempt.retryAfter.After(now) && observed.longestRetryAfter.isSupersededBy(attempt) {
		observed.longestRetryAfter = attempt
		if e != nil {
			e.applyObservedRetryAfter(attempt, now)
		}
	}
	if !attempt.endTime.After(observed.latest.endTime) {
		return
	}
	observed.latest = attempt
	if e != nil && e.concerns(attempt) && attempt.succeeded && attempt.endTime.After(e.lastFailure) {
		e.allowProbe()
	}
}

// isSupersededBy reports whether another attempt decides for how long to pause: the one
// that ended later if it went to another endpoint, else the one that asked for more.
func (a observedAttempt) isSupersededBy(b observedAttempt) bool {
	if a.revision != b.revision {
		return b.endTime.After(a.endTime)
	}
	return b.retryAfter.After(a.retryAfter)
}

// dropExpiredObservations drops, now and then, what no longer matters.
func (l *limiter) dropExpiredObservations(now time.Time) {
	if now.Sub(l.observationsSwept) < hangingFor {
		return
	}
	l.observationsSwept = now
	for webhook, observed := range l.observations {
		if !observed.isCurrent(now) {
			delete(l.observations, webhook)
		}
	}
}

// concerns reports whether an attempt says something about the endpoint that the webhook
// has now.
func (e *endpointState) concerns(attempt observedAttempt) bool {
	return attempt.revision == "" || attempt.revision == e.revision
}

// applyObservedRetryAfter leaves an endpoint alone that has asked somebody else for it.
func (e *endpointState) applyObservedRetryAfter(attempt observedAttempt, now time.Time) {
	if e.concerns(attempt) && attempt.retryAfter.After(now) && attempt.retryAfter.After(e.retryAfter) {
		e.applyRetryAfter(attempt.retryAfter)
	}
}
