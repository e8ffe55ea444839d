// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
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

// observedAttempt is an attempt that the object of a delivery tells of.
type observedAttempt struct {
	endTime    time.Time // zero: there was no attempt
	revision   string    // of the endpoint; "": unknown
	timedOut   bool
	succeeded  bool
	retryAfter time.Time // end of the Retry-After hold; zero: the endpoint asked for none
}

// observeDelivery updates the state of the endpoint that a delivery is for.
func observeDelivery(l *limiter, r *store.DeliveryEntry, now time.Time) {
	latest := r.Latest
	l.observe(webhookKey{namespace: r.Namespace, name: r.Webhook, uid: r.Owner}, observedAttempt{
		endTime: latest.EndTime, revision: latest.Revision, timedOut: latest.TimedOut, succeeded: latest.Succeeded, retryAfter: latest.RetryAfter,
	}, now)
}

// endpointObservations are the attempts that objects tell of for the endpoint of one webhook. They are kept as long as
// they are current, whether or not this replica has attempted anything.
type endpointObservations struct {
	latest            observedAttempt // the attempt that ended last
	longestRetryAfter observedAttempt // the attempt with the longest Retry-After hold
}

// isCurrent reports whether any of the observations still counts.
func (o *endpointObservations) isCurrent(now time.Time) bool {
	return now.Sub(o.latest.endTime) < endpoint.HangingFor || o.longestRetryAfter.retryAfter.After(now)
}

// observe updates the state of a webhook's endpoint after an attempt that any process has made.
func (l *limiter) observe(webhook webhookKey, attempt observedAttempt, now time.Time) {
	if attempt.endTime.IsZero() || now.Sub(attempt.endTime) >= endpoint.HangingFor && !attempt.retryAfter.After(now) {
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
	if e != nil && e.concerns(attempt) && attempt.succeeded && attempt.endTime.After(e.LastFailure()) {
		e.AllowProbe()
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

// concerns reports whether an attempt went to the endpoint that the webhook has now.
func (e *endpointState) concerns(attempt observedAttempt) bool {
	return attempt.revision == "" || attempt.revision == e.Revision
}

// applyObservedRetryAfter applies a Retry-After hold that another process was asked for.
func (e *endpointState) applyObservedRetryAfter(attempt observedAttempt, now time.Time) {
	if e.concerns(attempt) && attempt.retryAfter.After(now) {
		e.Hold(attempt.retryAfter)
	}
}

// isHanging reports whether the latest attempt to the endpoint that objects tell of timed out, a short while ago. A first
// attempt would most likely time out as well: the publisher waits in vain, and the API server takes one write more than
// if the delivery is stored first.
func (l *limiter) isHanging(e *endpointState, now time.Time) bool {
	observed := l.observations[e.key]
	if observed == nil || !e.concerns(observed.latest) {
		return false
	}
	latest := observed.latest
	return latest.timedOut && now.Sub(latest.endTime) < endpoint.HangingFor && !e.LastSuccess().After(latest.endTime)
}
