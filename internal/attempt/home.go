// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// The home of a delivery is the API server, as far as it takes writes in the
// namespace: an admission webhook, a policy or a quota can refuse what it takes
// everywhere else. So each namespace is followed by itself. While its writes fail
// nothing of it starts, and what has ended keeps no slot from others.

// WriteFailed says that the API server did not take the status of a delivery in a
// namespace: that it refused it, failed or took too long, not that another process
// had written it. Once writes of a namespace have been failing for StallAfter no
// attempt of it starts.
func (r *Runner) WriteFailed(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	space := r.namespaces[namespace]
	if space == nil {
		return // it has no attempts
	}
	now := r.now()
	space.writes.fail(now)
	r.failing[space] = struct{}{}
	if space.writes.stalled(now, r.stallAfter) {
		r.strandOutcomes(space)
	}
	r.signal() // when to look again depends on it
}

// WriteSucceeded says that the API server took the status of a delivery in a
// namespace.
func (r *Runner) WriteSucceeded(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached()
	r.tookWrite = r.now()
	space := r.namespaces[namespace]
	if space == nil || !space.writes.failing {
		return
	}
	r.recovered(space)
}

// recovered lets a namespace start attempts as before.
func (r *Runner) recovered(space *namespace) {
	space.writes = home{}
	delete(r.failing, space)
	r.admitWriteWaiters(space, space.writeWaiters.n)
	r.signal()
}

// blocks reports whether nothing of a namespace may start because its writes fail.
func (r *Runner) blocks(space *namespace, now time.Duration) bool {
	return space.writes.stalled(now, r.stallAfter) && !space.writes.mayProbe(space.unsettled, now, r.stallAfter)
}

// waitForWrites notes that a webhook waits for the writes of its namespace.
func (h *webhook) waitForWrites() {
	if h.waitNode.list == nil {
		h.namespace.writeWaiters.pushBack(&h.waitNode)
	}
}

// admitWriteWaiters lets so many webhooks compete again that have waited for the writes of their
// namespace.
func (r *Runner) admitWriteWaiters(space *namespace, n int) {
	for ; n > 0; n-- {
		h := space.writeWaiters.first()
		h.waitNode.detach()
		r.admitAgain(h)
	}
}

// probeHomes lets an attempt be the probe of each namespace whose writes have been
// failing and of which no outcome waits any more.
func (r *Runner) probeHomes(now time.Duration) {
	for space := range r.failing {
		if space.writeWaiters.n > 0 && space.writes.stalled(now, r.stallAfter) && space.writes.mayProbe(space.unsettled, now, r.stallAfter) {
			r.admitWriteWaiters(space, space.writeWaiters.n) // all but the first are writeWaiters again
		}
	}
}

// nextHomeProbe returns when the next namespace may send a probe, see probeHomes.
func (r *Runner) nextHomeProbe(now time.Duration) time.Duration {
	at := never
	for space := range r.failing {
		if relief := space.writes.latest + reliefAfter*r.stallAfter; space.writeWaiters.n > 0 && space.unsettled == 0 && relief > now {
			at = min(at, relief)
		}
	}
	return at
}

// strandOutcomes takes the slots from the outcomes of a namespace whose writes have been
// failing. They are few: they had their slots when that began.
func (r *Runner) strandOutcomes(space *namespace) {
	for n := r.finished.head; n != nil; n = n.next {
		job := n.value
		if job.webhook.namespace == space && job.outcome.Err == nil && !job.stranded {
			r.slots.used[job.slotClass]--
			job.stranded = true
			r.stranded++
		}
	}
}

// stalledHomes is how many namespaces have writes that have been failing, and
// whether all of them do, as far as is known: nothing has been written anywhere
// since the first of them began, and no other namespace has an attempt to make.
func (r *Runner) stalledHomes(now time.Duration) (n int, all bool) {
	first, waiting := never, 0
	for space := range r.failing {
		if space.writes.stalled(now, r.stallAfter) {
			n++
			first = min(first, space.writes.since)
		}
	}
	for _, h := range r.webhooks {
		if h.queue.n > 0 && !h.namespace.writes.stalled(now, r.stallAfter) {
			waiting++
		}
	}
	return n, n > 1 && r.tookWrite < first && waiting == 0
}
