// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// trackedJob is a job from its submission until its outcome is acknowledged. There can be 100,000 of them, so its size
// matters.
type trackedJob struct {
	uid       types.UID
	delivery  string // name; the namespace is the webhook's
	webhook   *webhook
	prepare   func(context.Context) (dispatcher.Request, any, error)
	outcome   *Outcome // in phase Finished
	node      node[trackedJob]
	queuedAt  time.Duration // unique, so it is the order of submission as well
	due       time.Duration // when a lost job may be repeated; since when it has been Finished
	timeout   int32         // milliseconds
	number    int32
	phase     Phase
	slotClass Class // the slot an outcome keeps until it is written
	stranded  bool  // it has lost that slot: nothing can be written where it belongs
	losses    uint8
	// forgotten: the delivery was deleted while the attempt was under way.
	forgotten bool
}

func (job *trackedJob) name() types.NamespacedName {
	return types.NamespacedName{Namespace: job.webhook.key.Namespace, Name: job.delivery}
}

// Submit queues a job. It returns false, and takes nothing, if the delivery is
// queued, under way or finished already, or if an attempt of this number or a
// later one is known to have been made: then the caller's cache is stale.
func (r *Runner) Submit(job Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[job.UID] != nil || r.acknowledgements.attempts(job.UID) >= job.Number {
		return false
	}
	now := r.now()
	h := r.webhook(types.NamespacedName{Namespace: job.Delivery.Namespace, Name: job.Webhook})
	r.setDestination(h, job.Destination)
	h.forgotten = false
	h.jobCount++
	r.queuedAt = max(now, r.queuedAt+1)
	tracked := &trackedJob{
		uid:      job.UID,
		delivery: job.Delivery.Name,
		webhook:  h,
		prepare:  job.Prepare,
		queuedAt: r.queuedAt,
		timeout:  int32(min(max(job.Timeout, 0), dispatcher.MaxTimeout).Milliseconds()), //nolint:gosec // G115: bounded by MaxTimeout
		number:   int32(job.Number),                                                     //nolint:gosec // G115: from an int32
	}
	tracked.node.value = tracked
	r.jobs[job.UID] = tracked
	r.enqueue(tracked)
	r.update(h, now)
	r.signal()
	return true
}

// Withdraw takes a queued job out again, as when its webhook was suspended. It
// returns false if nothing of this delivery is queued.
func (r *Runner) Withdraw(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.jobs[uid]
	if job == nil || job.phase != Queued {
		return false
	}
	r.withdraw(job)
	return true
}

func (r *Runner) withdraw(job *trackedJob) {
	job.node.detach()
	r.queued--
	h := job.webhook
	r.remove(job)
	r.schedule(h)
	r.retire(h)
}

// remove drops a job that is in no list.
func (r *Runner) remove(job *trackedJob) {
	if job.phase == Queued || job.phase == InFlight {
		job.webhook.jobCount--
	}
	delete(r.jobs, job.uid)
}

// enqueue puts a job where its submission time says. New ones go to the end;
// one that comes back because nothing could be handed over goes to the front,
// past at most those that came back before it.
func (r *Runner) enqueue(job *trackedJob) {
	job.phase = Queued
	r.queued++
	queue := &job.webhook.queue
	if queue.tail == nil || queue.tail.value.queuedAt < job.queuedAt {
		queue.pushBack(&job.node)
		return
	}
	next := queue.head
	for next.value.queuedAt < job.queuedAt {
		next = next.next
	}
	queue.insert(&job.node, next.prev, next)
}
