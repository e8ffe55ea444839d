// SPDX-License-Identifier: Apache-2.0

package attempt

import "bbmcp.quietstack.com/webhooks/internal/endpoint"

// queues has the webhooks that may start an attempt as soon as a slot is free: as
// many of each destination as that has room for in fair queues of all, by
// priority, the others in fair queues of their destination.
type queues struct {
	slots    endpoint.Quota // under way, or finished and not acknowledged
	ready    [endpoint.Priorities]fairQueue
	sequence int64
}

func (q *queues) nextSequence() int64 {
	q.sequence++
	return q.sequence
}

// nextWebhook returns the webhook whose turn it is, of those whose priority has
// slots left: the one that waits longest in the namespace that waits longest.
func (q *queues) nextWebhook() *webhook {
	var next *group
	for p := range q.ready {
		g := q.ready[p].head()
		if g == nil || q.slots.Available(endpoint.Priority(p)) == 0 {
			continue
		}
		if next == nil || g.sequence < next.sequence ||
			g.sequence == next.sequence && g.webhooks.first().sequence < next.webhooks.first().sequence {
			next = g
		}
	}
	if next == nil {
		return nil
	}
	return next.webhooks.first()
}

// place puts a webhook at the end of the fair queue of a priority, unless it is in
// that already.
func (q *queues) place(h *webhook, p endpoint.Priority) {
	if h.group != nil && h.priority == p {
		return
	}
	q.remove(h)
	if h.destination.hasRoom(p) {
		q.join(h, p)
		return
	}
	h.destination.enqueue(h, p, q.nextSequence())
}

// remove takes a webhook out of the fair queue it is in and gives its room to
// webhooks that wait for the destination.
func (q *queues) remove(h *webhook) {
	if h.group == nil {
		return
	}
	q.unlink(h)
	q.admitWaiting(h.destination)
}

// join puts a webhook at the end of the fair queue of all of a priority.
func (q *queues) join(h *webhook, p endpoint.Priority) {
	if h.namespace.ready == 0 {
		h.namespace.sequence = q.nextSequence()
	}
	h.namespace.ready++
	h.destination.ready[p]++
	h.group, h.priority, h.ready = &h.namespace.groups[p], p, true
	h.sequence = q.nextSequence()
	q.ready[p].link(h.group, h, h.namespace.sequence)
}

// unlink takes a webhook out of the fair queue it is in.
func (q *queues) unlink(h *webhook) {
	switch {
	case h.group == nil:
		return
	case h.ready:
		h.namespace.ready--
		h.destination.ready[h.priority]--
		q.ready[h.priority].unlink(h.group, h)
	default:
		h.destination.dequeue(h)
	}
	h.group = nil
}

// admitWaiting lets as many webhooks that wait for a destination join the fair
// queues of all as there is room for.
func (q *queues) admitWaiting(d *destination) {
	if len(d.groups) == 0 {
		return
	}
	for p := range endpoint.Priority(endpoint.Priorities) {
		for g := d.waiting[p].head(); g != nil && d.ready[p] < d.slots.Available(p); g = d.waiting[p].head() {
			h := g.webhooks.first()
			q.unlink(h)
			d.waiting[p].moveBack(g, q.nextSequence())
			q.join(h, p)
		}
	}
}

// moveNamespaceBack gives a namespace its next turn behind all others.
func (q *queues) moveNamespaceBack(space *namespace) {
	space.sequence = q.nextSequence()
	for p := range q.ready {
		q.ready[p].moveBack(&space.groups[p], space.sequence)
	}
}

// moveSlot moves the slots of an attempt under way to another state.
func (q *queues) moveSlot(a *attempt, state endpoint.State) {
	if a.state == state {
		return
	}
	q.slots.Move(a.state, state)
	a.destination.slots.Move(a.state, state)
	a.state = state
	q.admitWaiting(a.destination)
}

// moveOutcomeSlot moves the slot that an outcome keeps to another state.
func (q *queues) moveOutcomeSlot(job *trackedJob, state endpoint.State) {
	q.slots.Move(job.slotState, state)
	job.slotState = state
}
