// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// mayStartWebhook reports whether nothing of the webhook's own stands against one more
// attempt. While its endpoint fails, which can take a millisecond, what waits to
// be written counts as well, and what has been written for a while: else retries
// keep the API server as busy as it can be, and what has failed takes the slots
// of others.
func (s *scheduler) mayStartWebhook(h *webhook, now time.Duration) bool {
	n := h.tracker.UnderWay()
	if h.tracker.LatestFailed() {
		n += h.unacknowledged + h.throttledOutcomes
	}
	if s.blocks(h.namespace, now) {
		h.waitForWrites()
		return false
	}
	return !h.isHeld() && n < h.tracker.MaxUnderWay(&s.rules, s.clock(now)) && h.attempts.n < s.rules.PerWebhook
}

// updateWebhook brings state and position of a webhook up to date, and with its state
// the slots that its attempts hold. One that was healthy long ago starts carefully.
func (s *scheduler) updateWebhook(h *webhook, now time.Duration) {
	if state := h.tracker.State(&s.rules, s.clock(now)); state != h.state {
		if h.state == endpoint.Healthy && state == endpoint.Unproven {
			h.tracker.ResetLimit()
		}
		h.state = state
		for n := h.attempts.head; n != nil; n = n.next {
			if a := n.value; h.tracker.IsCurrent(a.tracked) && !a.tracked.IsSlow {
				s.moveSlot(a, state)
			}
		}
	}
	s.scheduleWebhook(h, now)
}

// scheduleWebhook puts a webhook into the fair queue it belongs to, or out of all. It
// stays where it is if that is right already, else it goes to the end.
func (s *scheduler) scheduleWebhook(h *webhook, now time.Duration) {
	if h.queue.n == 0 || !s.mayStartWebhook(h, now) {
		s.remove(h)
		return
	}
	s.place(h, h.nextPriority())
}

// rescheduleWebhook schedules the jobs of a webhook that waited for its outcomes.
func (s *scheduler) rescheduleWebhook(h *webhook, now time.Duration) {
	s.scheduleWebhook(h, now)
	s.lost.requeue(&h.lost)
}

// admitWriteWaiters schedules the webhooks that have waited for the writes of their
// namespace.
func (s *scheduler) admitWriteWaiters(space *namespace, now time.Duration) {
	for n := space.writeWaiters.n; n > 0; n-- {
		h := space.writeWaiters.first()
		h.waitNode.detach()
		s.rescheduleWebhook(h, now)
	}
}

// redirectWebhook makes a webhook start afresh with a destination. Attempts that are
// still under way to the old one keep their slots and count against the old
// destination and PerWebhook, but are not learned from.
func (s *scheduler) redirectWebhook(h *webhook, address string) {
	old := h.destination
	if old != nil {
		s.unlink(h)
		s.admitWaiting(old)
		s.endWebhookHold(h)
		h.tracker.Restart()
		h.state = endpoint.Unproven
		old.webhookCount--
	}
	h.destination = s.destination(address)
	h.destination.webhookCount++
	if old != nil {
		s.dropDestination(old)
	}
}

// endWebhookHold ends the hold of a webhook, if there is one.
func (s *scheduler) endWebhookHold(h *webhook) {
	s.holds.end(h)
	h.tracker.EndHold()
	s.lost.requeue(&h.lost)
}

// retireWebhook removes a forgotten webhook when nothing is left of it.
func (s *scheduler) retireWebhook(h *webhook) {
	if !h.forgotten || h.jobCount > 0 || s.webhooks[h.key] != h {
		return
	}
	s.unlink(h)
	s.endWebhookHold(h)
	h.waitNode.detach()
	if s.dropWebhook(h) {
		s.forget(h.namespace)
	}
}
