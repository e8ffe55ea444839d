// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// lostAttempts are the jobs whose result was lost with the dispatcher. The request
// may have reached the endpoint, and it may be what brought the dispatcher down,
// so they are repeated alone: one runs at a time, though the next need not wait
// for one that takes longer than LostBackoff. Everything else goes on beside it.
type lostAttempts struct {
	backingOff list[trackedJob]                  // lost less than LostBackoff ago, in the order they are due
	ready      [endpoint.States]list[trackedJob] // due, by state of the webhook when it became so
	current    *attempt
	since      time.Duration // when current started
}

// requeue makes lost jobs that waited for something try again, before others.
func (l *lostAttempts) requeue(waiting *list[trackedJob]) {
	for waiting.tail != nil {
		n := waiting.tail
		n.detach()
		l.ready[n.value.webhook.state].pushFront(n)
	}
}

// endBackoff makes lost jobs ready whose time has come.
func (l *lostAttempts) endBackoff(now time.Duration) {
	for job := l.backingOff.first(); job != nil && job.due <= now; job = l.backingOff.first() {
		job.node.detach()
		l.ready[job.webhook.state].pushBack(&job.node)
	}
}

// anyReady reports whether a lost job is due.
func (l *lostAttempts) anyReady() bool {
	return l.ready[endpoint.Healthy].n+l.ready[endpoint.Unproven].n+l.ready[endpoint.Slow].n+l.ready[endpoint.Hanging].n > 0
}
