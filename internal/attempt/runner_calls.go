// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Submit queues a job. It returns false, and takes nothing, if the delivery is
// queued, under way or finished already, or if an attempt of this number or a
// later one is known to have been made: then the caller's cache is stale.
func (r *Runner) Submit(job Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[job.UID] != nil || r.outcomes.attempts(job.UID) >= job.Number {
		return false
	}
	r.jobs[job.UID] = r.scheduler.submit(job, r.now())
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
	r.withdraw(job, r.now())
	return true
}

func (r *Runner) withdraw(job *trackedJob, now time.Duration) {
	delete(r.jobs, job.uid)
	r.scheduler.withdraw(job, now)
}

// View returns what the runner knows about a delivery.
func (r *Runner) View(uid types.UID) View {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.jobs[uid]
	if job == nil {
		return r.outcomes.state(uid)
	}
	view := View{Phase: job.phase, Attempts: int(job.number) - 1}
	if job.phase == Finished {
		view.Outcome = *job.outcome
		view.Attempts = job.outcome.attempts()
	}
	return view
}

// Written says that the API server took a status that shows this many attempts.
// If that includes the outcome that was waiting, its slot is free. final tells
// that no attempt follows by itself. The number is remembered until Observed or
// Forget, if final for 15 minutes at most.
func (r *Runner) Written(uid types.UID, attempts int, final bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.outcomes.dropExpired(now)
	if attempts > 0 {
		r.outcomes.add(uid, attempts, final, now)
	}
	switch job := r.jobs[uid]; {
	case job == nil:
	case job.phase == Finished && attempts >= job.outcome.attempts():
		r.release(job, now)
	case job.phase == Queued && attempts >= int(job.number):
		r.withdraw(job, now)
	}
}

// Observed says that the cache shows this many attempts. A job that waits to
// make one of them, because another process made it, is withdrawn.
func (r *Runner) Observed(uid types.UID, attempts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if w := r.outcomes.known[uid]; w != nil && w.attempts <= attempts {
		r.outcomes.expireSoon(uid, attempts, now)
	}
	if job := r.jobs[uid]; job != nil && job.phase == Queued && attempts >= int(job.number) {
		r.withdraw(job, now)
	}
}

// Dropped says that the outcome will not be written: the object is gone, or
// another process has written it, or no attempt was made. The slot is free. An
// attempt that was made is not made again for the next minute.
func (r *Runner) Dropped(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if job := r.jobs[uid]; job != nil && job.phase == Finished {
		now := r.now()
		r.release(job, now)
		r.outcomes.expireSoon(uid, job.outcome.attempts(), now)
	}
}

// Forget says that the object was deleted. What is queued is withdrawn, what is
// finished is dropped, and what is under way is dropped when it ends, without a
// call of Wake.
func (r *Runner) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.outcomes.dropExpired(now)
	attempts := 0
	if job := r.jobs[uid]; job != nil {
		switch job.phase {
		case Queued:
			r.withdraw(job, now)
		case InFlight:
			job.forgotten = true
		case Finished:
			r.release(job, now)
			attempts = job.outcome.attempts()
		}
	}
	r.outcomes.expireSoon(uid, attempts, now)
}

// Hold starts nothing of a webhook before the given time. Then its attempts start
// one by one until one succeeds. A later call extends a hold, never shortens it.
func (r *Runner) Hold(key types.NamespacedName, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, h := r.now(), r.scheduler.webhook(key)
	r.scheduler.holds.hold(h, until, now+time.Until(until), now)
	r.scheduler.schedule(h, now)
	r.signal()
}

// HoldUntil returns until when nothing of a webhook starts, the zero time if it
// is not held.
func (r *Runner) HoldUntil(key types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scheduler.webhooks[key]
	if h == nil || !h.held() || h.hold.ends <= r.now() {
		return time.Time{}
	}
	return h.hold.until
}

// Calm lets a webhook's attempts go out one by one until one succeeds, as after
// it was resumed or enabled.
func (r *Runner) Calm(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.scheduler.webhooks[key]; h != nil {
		h.resetLimit()
		r.scheduler.schedule(h, r.now())
	}
}

// Redirect says that the endpoint of a webhook has changed, maybe at the same
// host:port: nothing is known about the new one, and what is queued need not
// wait for what the old one asked for.
func (r *Runner) Redirect(key types.NamespacedName, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scheduler.webhooks[key]
	if h == nil {
		return
	}
	r.scheduler.endHold(h) // it may be held though nothing was ever submitted
	r.scheduler.redirect(h, address)
	r.scheduler.update(h, r.now())
	r.signal()
}

// ForgetWebhook drops what was learned about a webhook, and all of it once
// nothing of it is queued or under way. Jobs that are queued stay.
func (r *Runner) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scheduler.webhooks[key]
	if h == nil {
		return
	}
	h.forgotten = true
	h.reset()
	r.scheduler.endHold(h)
	r.scheduler.update(h, r.now())
	r.scheduler.retire(h)
	r.signal()
}

// Unreachable says that a write did not reach the API server, for any namespace.
// Once that has gone on for StallAfter no attempt starts.
func (r *Runner) Unreachable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scheduler.apiServer.fail(r.now())
}

// Reached says that the API server has answered a write, even with an error.
func (r *Runner) Reached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scheduler.reached() {
		r.signal()
	}
}

// WriteFailed says that the API server did not take the status of a delivery in a
// namespace: that it refused it, failed or took too long, not that another process
// had written it. Once writes of a namespace have been failing for StallAfter no
// attempt of it starts.
func (r *Runner) WriteFailed(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	space := r.scheduler.namespaces[namespace]
	if space == nil {
		return // it has no attempts
	}
	if r.scheduler.fail(space, r.now()) {
		for _, job := range r.outcomes.withSlot(space) {
			r.scheduler.strand(job)
		}
	}
	r.signal()
}

// WriteSucceeded says that the API server took the status of a delivery in a
// namespace.
func (r *Runner) WriteSucceeded(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.scheduler.reached() {
		r.signal()
	}
	r.scheduler.lastWrite = now
	space := r.scheduler.namespaces[namespace]
	if space == nil || !space.writes.failing {
		return
	}
	r.scheduler.forget(space)
	r.scheduler.admitWriteWaiters(space, now)
	r.signal()
}

// Drain starts nothing any more and waits until nothing is under way. Outcomes
// stay available, see Unsettled. It returns an error if the context ends first.
func (r *Runner) Drain(ctx context.Context) error {
	r.mu.Lock()
	r.life.drain()
	r.life.checkDrained(r.underWay.n)
	r.mu.Unlock()
	select {
	case <-r.life.drained:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("drain attempts, %d under way: %w", r.underWay.n, ctx.Err())
}

// Unsettled returns the deliveries whose attempt was made and whose outcome
// waits to be written, oldest outcome first.
func (r *Runner) Unsettled() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes.unsettled()
}
