// SPDX-License-Identifier: Apache-2.0

package store

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// LatestAttempt is what the index holds of the latest attempt of a delivery.
type LatestAttempt struct {
	EndTime    time.Time // zero: there was no attempt
	Revision   string    // of the endpoint; "": unknown
	TimedOut   bool
	Succeeded  bool
	RetryAfter time.Time // end of the Retry-After hold; zero: the endpoint asked for none
}

// newLatestAttempt reads the latest attempt off a delivery. Invented times are brought within bounds.
func newLatestAttempt(delivery *v1alpha1.WebhookDelivery, now time.Time) LatestAttempt {
	last := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		last = &log[len(log)-1]
	}
	if last == nil {
		return LatestAttempt{}
	}
	entry := attemptlog.BoundEntry(*last, now)
	ended := attemptlog.EntryEnd(&entry)
	if now.Before(ended) {
		ended = now
	}
	latest := LatestAttempt{
		EndTime: ended, Revision: entry.EndpointRevision,
		TimedOut:  entry.Reason == string(dispatcher.ReasonTimeout),
		Succeeded: delivery.Status.State == v1alpha1.DeliverySucceeded,
	}
	if entry.RetryAfterTime != nil {
		latest.RetryAfter = entry.RetryAfterTime.Time
	}
	return latest
}

// latestAttemptDuration is the duration of the latest attempt.
func latestAttemptDuration(delivery *v1alpha1.WebhookDelivery) time.Duration {
	log := delivery.Status.AttemptLog
	if len(log) == 0 {
		return 0
	}
	return time.Duration(log[len(log)-1].DurationMilliseconds) * time.Millisecond
}
