// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// hungFor is how long an endpoint is the controller's alone after one of its
// attempts has timed out and none has ended otherwise since. A first attempt would
// most likely hang as well: it costs the publisher the wait, and the API server a
// write more than to store the delivery first.
const hungFor = 2 * time.Minute

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

// heard is what an object tells of an endpoint: how the latest attempt of its
// delivery ended.
type heard struct {
	at         time.Time // when it ended; zero: there was none
	revision   string    // of the endpoint; "": it is not known
	timedOut   bool
	succeeded  bool
	retryAfter time.Time // until when the endpoint asked for a pause; zero: it did not
}

// hear reads it off a delivery. Times that somebody made up are within bounds.
func hear(delivery *v1alpha1.WebhookDelivery, now time.Time) heard {
	latest := latestAttempt(delivery)
	if latest == nil {
		return heard{}
	}
	made := attemptlog.Bounded(*latest, now)
	h := heard{
		at: earliest(attemptlog.Ended(&made), now), revision: made.EndpointRevision,
		timedOut:  made.Reason == string(dispatcher.ReasonTimeout),
		succeeded: delivery.Status.State == v1alpha1.DeliverySucceeded,
	}
	if made.RetryAfterTime != nil {
		h.retryAfter = made.RetryAfterTime.Time
	}
	return h
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

// hearsay is what objects tell of the endpoint of one webhook. It is kept for as long
// as it matters, whether this replica has attempted anything yet or not.
type hearsay struct {
	latest heard // the attempt that ended last
	asked  heard // the one by whose Retry-After the pause is longest
}

// matters reports whether anything of it still counts.
func (h *hearsay) matters(now time.Time) bool {
	return now.Sub(h.latest.at) < hungFor || h.asked.retryAfter.After(now)
}

// hear takes in how an attempt of a webhook ended, whoever made it.
func (s *slots) hear(webhook webhookKey, what heard, now time.Time) {
	if what.at.IsZero() || now.Sub(what.at) >= hungFor && !what.retryAfter.After(now) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetHearsay(now)
	told := s.told[webhook]
	if told == nil {
		told = &hearsay{}
		s.told[webhook] = told
	}
	h := s.hooks[webhook]
	if what.retryAfter.After(now) && told.asked.yieldsTo(what) {
		told.asked = what
		if h != nil {
			h.obey(what, now)
		}
	}
	if !what.at.After(told.latest.at) {
		return
	}
	told.latest = what
	if h != nil && h.isOf(what) && what.succeeded && what.at.After(h.lastStrike) {
		h.reopen()
	}
}

// yieldsTo reports whether another attempt decides for how long to pause: the one
// that ended later if it went to another endpoint, else the one that asked for more.
func (a heard) yieldsTo(b heard) bool {
	if a.revision != b.revision {
		return b.at.After(a.at)
	}
	return b.retryAfter.After(a.retryAfter)
}

// forgetHearsay drops, now and then, what no longer matters.
func (s *slots) forgetHearsay(now time.Time) {
	if now.Sub(s.toldSwept) < hungFor {
		return
	}
	s.toldSwept = now
	for webhook, told := range s.told {
		if !told.matters(now) {
			delete(s.told, webhook)
		}
	}
}

// isOf reports whether an attempt says something about the endpoint that the webhook
// has now.
func (h *hookSlots) isOf(what heard) bool { return what.revision == "" || what.revision == h.revision }

// obey leaves an endpoint alone that has asked somebody else for it.
func (h *hookSlots) obey(asked heard, now time.Time) {
	if h.isOf(asked) && asked.retryAfter.After(now) && asked.retryAfter.After(h.askedUntil) {
		h.hold(asked.retryAfter)
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
func (s *slots) isHung(h *hookSlots, now time.Time) bool {
	told := s.told[h.key]
	if told == nil || !h.isOf(told.latest) {
		return false
	}
	latest := told.latest
	return latest.timedOut && now.Sub(latest.at) < hungFor && !h.lastSuccess.After(latest.at)
}
