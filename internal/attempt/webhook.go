// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// webhook is one webhook's queue and what has been learned about its endpoint.
type webhook struct {
	webhookQueue
	concurrency
	queuePosition

	key         types.NamespacedName
	namespace   *namespace
	destination *destination  // nil until its first job
	attempts    list[attempt] // under way
	era         uint32        // counts destinations: only attempts of this one are learned from
	class       Class
	health      endpointHealth
	hold        retryAfterHold
	forgotten   bool
}

// webhookQueue has the jobs of a webhook.
type webhookQueue struct {
	queue    list[trackedJob] // first come, first served
	lost     list[trackedJob] // lost jobs that wait for this webhook
	jobCount int              // queued anywhere or under way
}

// concurrency is how many attempts of a webhook may be under way, and what counts
// against that.
type concurrency struct {
	limit             int    // grows with successes, falls with failures
	underWay          int    // attempts of this era
	slowAttempts      int    // of these, the ones under way for longer than SlowAfter
	unacknowledged    int    // outcomes of attempts that wait to be written
	throttledOutcomes int    // outcomes that were written too short a while ago
	starts            uint64 // attempts started so far
	fullAt            uint64 // of these, the latest that reached the limit
	epoch             uint32 // counts drops of the limit: only attempts started since move it
}

// queuePosition is where a webhook waits.
type queuePosition struct {
	node     node[webhook] // in a group
	group    *group        // nil: not startable
	priority priority      // the group's
	ready    bool          // the group is of queues.ready, else of destination.waiting
	sequence int64         // since when, if ready
	waitNode node[webhook] // in namespace.writeWaiters
}

// namespace is what the webhooks of one namespace share: a turn and a home.
type namespace struct {
	name         string
	sequence     int64
	webhookCount int               // webhooks known
	ready        int               // webhooks in groups
	groups       [priorities]group // in queues.ready

	writes       home          // of its deliveries
	unsettled    int           // attempts under way, or whose outcome waits to be written
	writeWaiters list[webhook] // that wait for writes to succeed
}

// reset forgets what was learned about a webhook.
func (h *webhook) reset() {
	h.resetLimit()
	h.health = endpointHealth{}
}

// resetLimit lets one attempt at a time start until one succeeds.
func (c *concurrency) resetLimit() {
	c.limit = 1
	c.epoch++
}

// nextPriority is the priority that the webhook's next attempt competes with.
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

// waitForWrites notes that a webhook waits for the writes of its namespace.
func (h *webhook) waitForWrites() {
	if h.waitNode.list == nil {
		h.namespace.writeWaiters.pushBack(&h.waitNode)
	}
}

// throttle counts an outcome that was written a moment ago against the webhook, if
// its endpoint fails. It returns for how long; 0: not at all.
func (h *webhook) throttle(writeTook time.Duration) time.Duration {
	pause := min(throttleFactor*writeTook, maxThrottle)
	if !h.health.failing || pause <= 0 {
		return 0
	}
	h.throttledOutcomes++
	return pause
}
