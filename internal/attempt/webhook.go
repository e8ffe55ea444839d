// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// webhook is one webhook's queue and what has been learned about its endpoint.
type webhook struct {
	key         types.NamespacedName
	namespace   *namespace
	destination *destination // nil until its first job

	queue    list[trackedJob] // first come, first served
	lost     list[trackedJob] // lost jobs that wait for this webhook
	jobCount int              // queued anywhere or under way

	attempts          list[attempt] // all under way
	underWay          int           // of these, the ones sent to dest in this era
	slowAttempts      int           // of these, those under way for longer than SlowAfter
	limit             int           // how many may be under way
	unacknowledged    int           // outcomes of attempts that wait to be written
	throttledOutcomes int           // outcomes that were written too short a while ago
	starts            uint64        // attempts started so far
	fullAt            uint64        // of these, the latest that reached the limit
	// epoch counts drops of the limit: only attempts started since the last one
	// move it. era counts destinations: only attempts of this one are learned from.
	epoch, era uint32

	class  Class
	health endpointHealth
	hold   retryAfterHold

	waitNode node[webhook] // in namespace.writeWaiters
	node     node[webhook] // in a group
	group    *group        // nil: not startable
	priority priority      // the group's
	ready    bool          // the group is of Runner.ready, else of dest.waiting
	sequence int64         // since when, if ready

	forgotten bool
}

// namespace is what the webhooks of one namespace share: a turn and a home.
type namespace struct {
	name         string
	sequence     int64
	webhookCount int               // webhooks known
	ready        int               // webhooks in groups
	groups       [priorities]group // in Runner.ready

	writes       home          // of its deliveries
	unsettled    int           // attempts under way, or whose outcome waits to be written
	writeWaiters list[webhook] // that wait for writes to succeed
}

// webhook returns the webhook of that name, a new one if need be.
func (r *Runner) webhook(key types.NamespacedName) *webhook {
	if h := r.webhooks[key]; h != nil {
		return h
	}
	space := r.namespaces[key.Namespace]
	if space == nil {
		space = &namespace{name: key.Namespace}
		r.namespaces[key.Namespace] = space
	}
	space.webhookCount++
	h := &webhook{key: key, namespace: space, limit: 1, class: Unproven}
	h.node.value, h.waitNode.value = h, h
	h.hold.index = -1
	r.webhooks[key] = h
	return h
}

// setDestination makes a webhook start afresh if its destination changed.
// Attempts that are still under way to the old one keep their slots and count against
// the old destination and PerWebhook, but are not learned from.
func (r *Runner) setDestination(h *webhook, address string) {
	if h.destination == nil || h.destination.address != address {
		r.startAfresh(h, address)
	}
}

func (r *Runner) startAfresh(h *webhook, address string) {
	old := h.destination
	if old != nil {
		r.unlink(h)
		r.admitWaiting(old)
		r.endHold(h)
		h.reset()
		h.era++
		h.underWay, h.slowAttempts, h.class = 0, 0, Unproven
		old.webhookCount--
	}
	h.destination = r.destination(address)
	h.destination.webhookCount++
	if old != nil {
		r.dropDestination(old)
	}
}

// Redirect says that the endpoint of a webhook has changed, maybe at the same
// host:port: nothing is known about the new one, and what is queued need not
// wait for what the old one asked for.
func (r *Runner) Redirect(key types.NamespacedName, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhooks[key]
	if h == nil {
		return
	}
	r.endHold(h) // it may be held though nothing was ever submitted
	r.startAfresh(h, address)
	r.update(h, r.now())
	r.signal()
}

// reset forgets what was learned about a webhook.
func (h *webhook) reset() {
	h.resetLimit()
	h.health = endpointHealth{}
}

// resetLimit lets one attempt at a time go out until one succeeds.
func (h *webhook) resetLimit() {
	h.limit = 1
	h.epoch++
}

// nextPriority is the priority that the webhook's next attempt competes in.
func (h *webhook) nextPriority() priority {
	switch h.class {
	case Slow:
		return prioritySlow
	case Hanging:
		return priorityHanging
	case Unproven:
		return priorityUnproven
	}
	if h.underWay > 0 {
		return priorityProvenBusy
	}
	return priorityProvenIdle
}

// mayStart reports whether nothing of the webhook's own stands against one more
// attempt. While its endpoint fails, which can take a millisecond, what waits to
// be written counts as well, and what has been written for a while: else retries
// keep the API server as busy as it can be, and what has failed takes the slots
// of others.
func (r *Runner) mayStart(h *webhook) bool {
	out := h.underWay
	if h.health.failing {
		out += h.unacknowledged + h.throttledOutcomes
	}
	if h.namespace.writes.failing && r.blocks(h.namespace, r.now()) {
		h.waitForWrites()
		return false
	}
	return !h.held() && out < h.limit && h.attempts.n < r.perWebhook
}

// update brings class and position of a webhook up to date.
func (r *Runner) update(h *webhook, now time.Duration) {
	r.updateClass(h, now)
	r.schedule(h)
}

// schedule puts a webhook into the fair queue it belongs to, or out of all. It
// stays where it is if that is right already, else it goes to the end.
func (r *Runner) schedule(h *webhook) {
	if h.queue.n == 0 || !r.mayStart(h) {
		r.unschedule(h)
		return
	}
	p := h.nextPriority()
	if h.group != nil && h.priority == p {
		return
	}
	r.unschedule(h)
	if h.destination.hasRoom(p) {
		r.linkReady(h, p)
		return
	}
	h.destination.enqueue(h, p, r.nextSequence())
}

// unschedule takes a webhook out of the fair queue it is in and gives its room to
// webhooks that wait for the destination.
func (r *Runner) unschedule(h *webhook) {
	if h.group == nil {
		return
	}
	r.unlink(h)
	r.admitWaiting(h.destination)
}

func (r *Runner) linkReady(h *webhook, p priority) {
	if h.namespace.ready == 0 {
		h.namespace.sequence = r.nextSequence()
	}
	h.namespace.ready++
	h.destination.ready[p]++
	h.group, h.priority, h.ready = &h.namespace.groups[p], p, true
	h.sequence = r.nextSequence()
	r.ready[p].link(h.group, h, h.namespace.sequence)
}

func (r *Runner) unlink(h *webhook) {
	switch {
	case h.group == nil:
		return
	case h.ready:
		h.namespace.ready--
		h.destination.ready[h.priority]--
		r.ready[h.priority].unlink(h.group, h)
	default:
		h.destination.dequeue(h)
	}
	h.group = nil
}

// moveNamespaceBack gives a namespace its next turn behind all others.
func (r *Runner) moveNamespaceBack(space *namespace) {
	space.sequence = r.nextSequence()
	for p := range r.ready {
		r.ready[p].moveBack(&space.groups[p], space.sequence)
	}
}

func (r *Runner) nextSequence() int64 {
	r.sequence++
	return r.sequence
}

// ForgetWebhook drops what was learned about a webhook, and all of it once
// nothing of it is queued or under way. Jobs that are queued stay.
func (r *Runner) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhooks[key]
	if h == nil {
		return
	}
	h.forgotten = true
	h.reset()
	r.endHold(h)
	r.update(h, r.now())
	r.retire(h)
	r.signal()
}

// retire removes a forgotten webhook when nothing is left of it.
func (r *Runner) retire(h *webhook) {
	if !h.forgotten || h.jobCount > 0 || r.webhooks[h.key] != h {
		return
	}
	r.unlink(h)
	r.endHold(h)
	h.waitNode.detach()
	delete(r.webhooks, h.key)
	h.namespace.webhookCount--
	if h.namespace.webhookCount == 0 {
		delete(r.namespaces, h.key.Namespace)
		delete(r.failing, h.namespace)
	}
	if h.destination != nil {
		h.destination.webhookCount--
		r.dropDestination(h.destination)
	}
}
