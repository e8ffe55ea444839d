// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// webhook is one webhook's queue and what has been learned about its endpoint.
type webhook struct {
	webhookQueue
	queuePosition
	unsettledOutcomes

	key         types.NamespacedName
	namespace   *namespace
	destination *destination  // nil until its first job
	attempts    list[attempt] // under way
	tracker     endpoint.Tracker
	state       endpoint.State // whose shares it has
	hold        hold
	forgotten   bool
}

// webhookQueue has the jobs of a webhook.
type webhookQueue struct {
	queue    list[trackedJob] // first come, first served
	lost     list[trackedJob] // lost jobs that wait for this webhook
	jobCount int              // queued anywhere or under way
}

// unsettledOutcomes count against the concurrency of a webhook whose endpoint fails.
type unsettledOutcomes struct {
	unacknowledged    int // outcomes of attempts that wait to be written
	throttledOutcomes int // outcomes that were written too short a while ago
}

// queuePosition is where a webhook waits.
type queuePosition struct {
	node     node[webhook]     // in a group
	group    *group            // nil: not startable
	priority endpoint.Priority // the group's
	ready    bool              // the group is of queues.ready, else of destination.waiting
	sequence int64             // since when, if ready
	waitNode node[webhook]     // in namespace.writeWaiters
}

// namespace is what the webhooks of one namespace share: a turn and a home.
type namespace struct {
	name         string
	sequence     int64
	webhookCount int                        // webhooks known
	ready        int                        // webhooks in groups
	groups       [endpoint.Priorities]group // in queues.ready

	writes       home          // of its deliveries
	unsettled    int           // attempts under way, or whose outcome waits to be written
	writeWaiters list[webhook] // that wait for writes to succeed
}

// nextPriority is the priority that the webhook's next attempt competes with.
func (h *webhook) nextPriority() endpoint.Priority { return h.state.Priority(h.tracker.UnderWay() > 0) }

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
	if !h.tracker.LatestFailed() || pause <= 0 {
		return 0
	}
	h.throttledOutcomes++
	return pause
}

func (h *webhook) isHeld() bool { return h.hold.index >= 0 }
