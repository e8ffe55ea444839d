// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

const (
	// webhookGrace is how long a delivery waits for a Webhook that does not exist.
	webhookGrace = time.Hour
	// maxAttempts is far more attempts than a policy allows, and fits an int32.
	maxAttempts = 1_000_000
)

// plan is what to do with a delivery once its status is up to date.
type plan struct {
	start     bool      // hand an attempt to the runner
	number    int       // its number
	withdraw  bool      // take a queued attempt out again
	lookAgain time.Time // look again then; zero: when something changes
}

// nextPlan decides what to do with a delivery whose status is up to date.
func nextPlan(s deliveryScope) plan {
	status := &s.delivery.Status
	queued := s.phase == attempt.Queued
	start := plan{start: !queued, number: int(status.Attempts) + 1}
	requested := retryRequested(s.delivery, status)
	switch {
	case s.phase == attempt.UnderWay:
		return plan{}
	case isBeingDeleted(s.delivery):
		return plan{withdraw: queued}
	case status.State == v1alpha1.DeliveryFailed && requested && s.signingProblem != nil:
		return plan{withdraw: queued, lookAgain: s.signingProblem.LookAgain}
	case status.State == v1alpha1.DeliveryFailed && requested:
		return start
	case isFinished(status.State):
		return plan{withdraw: queued}
	}
	end := deliveryDeadline(s.delivery, s.webhook)
	if isHandedOver(s) {
		return plan{withdraw: queued, lookAgain: earliest(end, handOverEnd(s.delivery))}
	}
	if reason, _ := holdReason(s); reason != "" {
		at := end
		switch {
		case s.webhook == nil:
			at = earliest(end, s.delivery.CreationTimestamp.Add(webhookGrace))
		case s.signingProblem != nil:
			at = earliest(end, s.signingProblem.LookAgain)
		}
		return plan{withdraw: queued, lookAgain: at}
	}
	due := dueTime(s, status)
	if requested || !due.After(s.now) {
		start.lookAgain = end
		return start
	}
	return plan{withdraw: queued, lookAgain: earliest(end, due)}
}

// isBeingDeleted reports whether a delivery waits for its finalizers, possibly for
// ever: no attempt of it starts.
func isBeingDeleted(delivery *v1alpha1.WebhookDelivery) bool {
	return !delivery.DeletionTimestamp.IsZero()
}
