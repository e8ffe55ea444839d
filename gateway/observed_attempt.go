// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// webhookKey identifies one Webhook. A delivery counts only for the Webhook of its own namespace with the name in its
// spec and the UID of its owner: anyone who may write deliveries can put another UID or another name into them.
type webhookKey struct {
	namespace, name string
	uid             types.UID
}

func keyOf(webhook *v1alpha1.Webhook) webhookKey {
	return webhookKey{namespace: webhook.Namespace, name: webhook.Name, uid: webhook.UID}
}

// observedAttempt is the latest attempt of a delivery, as its object tells of it.
type observedAttempt struct {
	endTime    time.Time // zero: there was no attempt
	revision   string    // of the endpoint; "": unknown
	timedOut   bool
	succeeded  bool
	retryAfter time.Time // end of the Retry-After hold; zero: the endpoint asked for none
}

// observeAttempt reads the latest attempt off a delivery. Invented times are brought within bounds.
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

// latestAttempt returns the latest attempt of a delivery; nil: it had none, or none is known.
func latestAttempt(delivery *v1alpha1.WebhookDelivery) *v1alpha1.Attempt {
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		return &log[len(log)-1]
	}
	return delivery.Spec.FirstAttempt
}

// endpointObservations are the attempts that objects tell of for the endpoint of one webhook. They are kept as long as
// they are current, whether or not this replica has attempted anything.
type endpointObservations struct {
	latest            observedAttempt // the attempt that ended last
	longestRetryAfter observedAttempt // the attempt with the longest Retry-After hold
}

// isCurrent reports whether any of the observations still counts.
func (o *endpointObservations) isCurrent(now time.Time) bool {
	return now.Sub(o.latest.endTime) < hangingFor || o.longestRetryAfter.retryAfter.After(now)
}

// observe updates the state of a webhook's endpoint after an attempt that any process has made.
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

// isSupersededBy reports whether the Retry-After hold of another attempt replaces this one: that of the later attempt
// if they went to different endpoints, else the longer one.
func (a observedAttempt) isSupersededBy(b observedAttempt) bool {
	if a.revision != b.revision {
		return b.endTime.After(a.endTime)
	}
	return b.retryAfter.After(a.retryAfter)
}

// dropExpiredObservations drops observations that are not current, now and then.
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

// concerns reports whether an attempt went to the endpoint that the webhook has now.
func (e *endpointState) concerns(attempt observedAttempt) bool {
	return attempt.revision == "" || attempt.revision == e.revision
}

// applyObservedRetryAfter applies a Retry-After hold that another process was asked for.
func (e *endpointState) applyObservedRetryAfter(attempt observedAttempt, now time.Time) {
	if e.concerns(attempt) && attempt.retryAfter.After(now) && attempt.retryAfter.After(e.retryAfter) {
		e.applyRetryAfter(attempt.retryAfter)
	}
}
