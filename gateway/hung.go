// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// hungFor is how long an endpoint is the controller's alone after one of its
// attempts has timed out and none has ended otherwise since. A first attempt would
// most likely hang as well: it costs the publisher the wait, and the API server a
// write more than to store the delivery first.
const hungFor = 2 * time.Minute

// heard is what an object tells of an endpoint: when the latest attempt of its
// delivery ended, and whether by its timeout, or with success.
type heard struct {
	at        time.Time // zero: there was none
	timedOut  bool
	succeeded bool
}

// hear reads it off a delivery.
func hear(delivery *v1alpha1.WebhookDelivery) heard {
	made := latestAttempt(delivery)
	if made == nil {
		return heard{}
	}
	return heard{
		at:        made.StartTime.Add(time.Duration(made.DurationMilliseconds) * time.Millisecond),
		timedOut:  made.Reason == string(dispatcher.ReasonTimeout),
		succeeded: delivery.Status.State == v1alpha1.DeliverySucceeded,
	}
}

// latestAttempt is that of a delivery; nil: there was none, or it is not known.
func latestAttempt(delivery *v1alpha1.WebhookDelivery) *v1alpha1.Attempt {
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		return &log[len(log)-1]
	}
	return delivery.Spec.FirstAttempt
}

// hear takes in how an attempt of a webhook ended, whoever made it.
func (s *slots) hear(webhook types.UID, what heard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !what.at.After(s.heard[webhook].at) {
		return
	}
	s.heard[webhook] = what
	if h := s.hooks[webhook]; h != nil && what.succeeded && what.at.After(h.lastStrike) {
		h.reopen()
	}
}

// reopen lets one attempt find out at once how an endpoint does that failed and that
// has taken a retry since. The pause goes on if it was slow, or asked for it.
func (h *hookSlots) reopen() {
	if h.strikes >= strikesToClose && h.slowness == 0 && h.askedUntil.IsZero() {
		h.closedUntil = time.Time{}
	}
}

// isHung reports whether the endpoint of a webhook lets attempts time out.
func (s *slots) isHung(webhook types.UID, h *hookSlots, now time.Time) bool {
	latest := s.heard[webhook]
	return latest.timedOut && now.Sub(latest.at) < hungFor && !h.lastSuccess.After(latest.at)
}
