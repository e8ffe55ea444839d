// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// lostAttempts are the jobs whose result was lost with the dispatcher. The request
// may have reached the endpoint, and it may be what brought the dispatcher down,
// so they are repeated alone: one runs at a time, though the next need not wait
// for one that takes longer than LostBackoff. Everything else goes on beside it.
type lostAttempts struct {
	backingOff list[trackedJob]          // lost less than LostBackoff ago, in the order they are due
	ready      [classes]list[trackedJob] // due, by class of the webhook when it became so
	current    *attempt
	since      time.Duration // when current started
}

// requeue makes lost jobs that waited for something try again, before others.
func (l *lostAttempts) requeue(waiting *list[trackedJob]) {
	for waiting.tail != nil {
		n := waiting.tail
		n.detach()
		l.ready[n.value.webhook.class].pushFront(n)
	}
}

// endBackoff makes lost jobs ready whose time has come.
func (l *lostAttempts) endBackoff(now time.Duration) {
	for job := l.backingOff.first(); job != nil && job.due <= now; job = l.backingOff.first() {
		job.node.detach()
		l.ready[job.webhook.class].pushBack(&job.node)
	}
}

// anyReady reports whether a lost job is due.
func (l *lostAttempts) anyReady() bool {
	return l.ready[Proven].n+l.ready[Unproven].n+l.ready[Slow].n+l.ready[Hanging].n > 0
}

// nextLost takes the next job out of the lost ones that may start now, nil if there
// is none. Jobs of proven webhooks come first. One whose webhook or destination
// is not free waits until an attempt there ends.
func (r *Runner) nextLost(now time.Duration) *trackedJob {
	l := &r.lostAttempts
	if !l.anyReady() || (l.current != nil && now < l.since+r.lostBackoff) {
		return nil
	}
	for class := range l.ready {
		ready := &l.ready[class]
		for job := ready.first(); job != nil; job = ready.first() {
			h := job.webhook
			r.update(h, now)
			p := h.nextPriority()
			if r.slots.available(p) == 0 {
				break
			}
			job.node.detach()
			if !r.mayStart(h) {
				h.lost.pushBack(&job.node)
				continue
			}
			if h.destination.slots.available(p) == 0 {
				h.destination.lost.pushBack(&job.node)
				continue
			}
			return job
		}
	}
	return nil
}

// lose queues the job of an attempt whose result was lost.
func (r *Runner) lose(job *trackedJob, now time.Duration) {
	job.phase = Queued
	r.queued++
	job.due = now + r.lostBackoff
	r.lostAttempts.backingOff.pushBack(&job.node)
}
