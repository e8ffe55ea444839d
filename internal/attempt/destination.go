// SPDX-License-Identifier: Apache-2.0

package attempt

import "bbmcp.quietstack.com/webhooks/internal/endpoint"

// destination is one host:port and everything that goes there, whatever the
// namespace. Its slots are shared out between states as the runner's are, so
// webhooks that hang do not shut out those of others on the same host.
type destination struct {
	address      string
	slots        endpoint.Quota // under way only: outcomes that wait to be written burden no destination
	webhookCount int            // webhooks with this destination
	// ready counts the webhooks in queues.ready by priority: never more than there
	// was room for, so that a full destination is in no fair queue.
	ready [endpoint.Priorities]int
	// waiting are the webhooks that wait for room; namespaces take turns.
	waiting [endpoint.Priorities]fairQueue
	groups  map[groupKey]*group // those of waiting that are not empty
	lost    list[trackedJob]    // lost jobs that wait for room
}

type groupKey struct {
	namespace *namespace
	priority  endpoint.Priority
}

// hasRoom reports whether one more webhook may join the fair queues of a priority.
func (d *destination) hasRoom(p endpoint.Priority) bool {
	return d.waiting[p].head() == nil && d.ready[p] < d.slots.Available(p)
}

// enqueue makes a webhook wait for room, behind others.
func (d *destination) enqueue(h *webhook, p endpoint.Priority, sequence int64) {
	h.group, h.priority, h.ready = d.group(h, p), p, false
	d.waiting[p].link(h.group, h, sequence)
}

// enqueueFirst makes a webhook that had its turn wait for room, before others.
func (d *destination) enqueueFirst(h *webhook, p endpoint.Priority) {
	h.group, h.priority, h.ready = d.group(h, p), p, false
	d.waiting[p].linkFirst(h.group, h)
}

func (d *destination) group(h *webhook, p endpoint.Priority) *group {
	key := groupKey{h.namespace, p}
	g := d.groups[key]
	if g == nil {
		g = &group{}
		if d.groups == nil {
			d.groups = map[groupKey]*group{}
		}
		d.groups[key] = g
	}
	return g
}

func (d *destination) dequeue(h *webhook) {
	d.waiting[h.priority].unlink(h.group, h)
	if h.group.webhooks.n == 0 {
		delete(d.groups, groupKey{h.namespace, h.priority})
	}
}
