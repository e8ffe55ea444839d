// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// mayStart reports whether nothing of the webhook's own stands against one more
// attempt. While its endpoint fails, which can take a millisecond, what waits to
// be written counts as well, and what has been written for a while: else retries
// keep the API server as busy as it can be, and what has failed takes the slots
// of others.
func (s *scheduler) mayStart(h *webhook, now time.Duration) bool {
	n := h.underWay
	if h.health.failing {
		n += h.unacknowledged + h.throttledOutcomes
	}
	if s.blocks(h.namespace, now) {
		h.waitForWrites()
		return false
	}
	return !h.held() && n < h.limit && h.attempts.n < s.perWebhook
}

// update brings class and position of a webhook up to date, and with its class
// the slots that its attempts hold. One that was proven long ago starts carefully.
func (s *scheduler) update(h *webhook, now time.Duration) {
	if class := h.classify(now, s.slowAfter); class != h.class {
		if h.class == Proven && class == Unproven {
			h.resetLimit()
		}
		h.class = class
		for n := h.attempts.head; n != nil; n = n.next {
			if a := n.value; a.era == h.era && !a.takesLong {
				s.moveSlot(a, class)
			}
		}
	}
	s.schedule(h, now)
}

// schedule puts a webhook into the fair queue it belongs to, or out of all. It
// stays where it is if that is right already, else it goes to the end.
func (s *scheduler) schedule(h *webhook, now time.Duration) {
	if h.queue.n == 0 || !s.mayStart(h, now) {
		s.remove(h)
		return
	}
	s.place(h, h.nextPriority())
}

// scheduleAgain schedules the jobs of a webhook that waited for its outcomes.
func (s *scheduler) scheduleAgain(h *webhook, now time.Duration) {
	s.schedule(h, now)
	s.lost.requeue(&h.lost)
}

// admitWriteWaiters schedules the webhooks that have waited for the writes of their
// namespace.
func (s *scheduler) admitWriteWaiters(space *namespace, now time.Duration) {
	for n := space.writeWaiters.n; n > 0; n-- {
		h := space.writeWaiters.first()
		h.waitNode.detach()
		s.scheduleAgain(h, now)
	}
}

// redirect makes a webhook start afresh with a destination. Attempts that are
// still under way to the old one keep their slots and count against the old
// destination and PerWebhook, but are not learned from.
func (s *scheduler) redirect(h *webhook, address string) {
	old := h.destination
	if old != nil {
		s.unlink(h)
		s.admitWaiting(old)
		s.endHold(h)
		h.reset()
		h.era++
		h.underWay, h.slowAttempts, h.class = 0, 0, Unproven
		old.webhookCount--
	}
	h.destination = s.destination(address)
	h.destination.webhookCount++
	if old != nil {
		s.dropDestination(old)
	}
}

// endHold ends the hold of a webhook, if there is one.
func (s *scheduler) endHold(h *webhook) {
	s.holds.end(h)
	s.lost.requeue(&h.lost)
}

// retire removes a forgotten webhook when nothing is left of it.
func (s *scheduler) retire(h *webhook) {
	if !h.forgotten || h.jobCount > 0 || s.webhooks[h.key] != h {
		return
	}
	s.unlink(h)
	s.endHold(h)
	h.waitNode.detach()
	if s.dropWebhook(h) {
		s.forget(h.namespace)
	}
}
