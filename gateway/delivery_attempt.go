// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// latestAttempt is what the index holds of the latest attempt of a delivery.
type latestAttempt struct {
	endTime    time.Time // zero: there was no attempt
	revision   string // of the endpoint; "": unknown
	timedOut   bool
	succeeded  bool
	retryAfter time.Time // end of the Retry-After hold; zero: the endpoint asked for none
}

// newLatestAttempt reads the latest attempt off a delivery. Invented times are brought within bounds.
func newLatestAttempt(delivery *v1alpha1.WebhookDelivery, now time.Time) latestAttempt {
	last := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		last = &log[len(log)-1]
	}
	if last == nil {
		return latestAttempt{}
	}
	entry := attemptlog.Bounded(*last, now)
	latest := latestAttempt{
		endTime: earliest(attemptlog.Ended(&entry), now), revision: entry.EndpointRevision,
		timedOut:  entry.Reason == string(dispatcher.ReasonTimeout),
		succeeded: delivery.Status.State == v1alpha1.DeliverySucceeded,
	}
	if entry.RetryAfterTime != nil {
		latest.retryAfter = entry.RetryAfterTime.Time
	}
	return latest
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
