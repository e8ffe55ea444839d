// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// maxRetryWait is the longest time from the start of an attempt to the next one that
// a policy allows. A later status.nextAttemptTime was written by hand and is ignored.
const maxRetryWait = retry.MaxTimeout + 2*retry.MaxDelay

// dueTime is when the next attempt may start after those that a status shows; zero: at
// once. See isHandedOver for the first one.
func dueTime(s deliveryScope, status *v1alpha1.WebhookDeliveryStatus) time.Time {
	if status.NextAttemptTime == nil {
		return time.Time{}
	}
	last := s.delivery.CreationTimestamp.Time
	if status.LastAttemptTime != nil {
		last = earliest(status.LastAttemptTime.Time, s.now)
	}
	due := earliest(status.NextAttemptTime.Time, last.Add(maxRetryWait))
	if len(status.AttemptLog) == 0 {
		return due
	}
	latest := &status.AttemptLog[len(status.AttemptLog)-1]
	if latest.RetryAfterTime == nil || isOfCurrentEndpoint(latest, s.webhook) {
		return due
	}
	return earliest(due, nextAttemptTime(s, latest))
}

// nextAttemptTime is when the retry policy, and a Retry-After of the present endpoint, allow
// the attempt after this one; zero: the policy has been shortened and allows none.
func nextAttemptTime(s deliveryScope, entry *v1alpha1.Attempt) time.Time {
	var notBefore time.Time
	if entry.RetryAfterTime != nil && isOfCurrentEndpoint(entry, s.webhook) {
		notBefore = entry.RetryAfterTime.Time
	}
	number := int(entry.Number)
	next, _ := settings.RetryPolicy(s.webhook).NextAttempt(number, attemptlog.EntryEnd(entry), notBefore, retry.Jitter(string(s.delivery.UID), number))
	return next.UTC().Truncate(time.Microsecond)
}

func deliveryDeadline(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) time.Time {
	return acceptedTime(delivery).Add(settings.Deadline(webhook))
}

// acceptedTime is when a delivery's age began, at its creation at the latest: a time
// written by hand does not postpone the deadline.
func acceptedTime(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.Time
	if delivery.Spec.AcceptedTime != nil {
		return earliest(delivery.Spec.AcceptedTime.Time, created.Add(time.Second)) // it is cut to seconds
	}
	return created
}
