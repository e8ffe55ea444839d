// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Runner starts attempts and keeps their outcomes. It is the lock and the loop
// around the scheduler, the attempts under way and the outcomes. Its methods are
// safe for concurrent use and, but for Run and Drain, never wait.
type Runner struct {
	options Options
	base    time.Time     // times inside are durations since then
	signals chan struct{} // something may start, or a timer changed

	mu        sync.Mutex
	life      lifecycle
	jobs      map[types.UID]*trackedJob
	scheduler scheduler
	underWay  underWay
	outcomes  outcomes
}

// New returns a Runner that starts nothing until Run is called.
func New(o Options) *Runner {
	if o.Wake == nil {
		o.Wake = wakeNone
	}
	if o.WakeSlow == nil {
		o.WakeSlow = o.Wake
	}
	if o.Gate == nil {
		o.Gate = func() bool { return true }
	}
	if o.Throttle == nil {
		o.Throttle = func() bool { return false }
	}
	base := time.Now()
	return &Runner{
		options:   o,
		base:      base,
		signals:   make(chan struct{}, 1),
		life:      newLifecycle(),
		jobs:      map[types.UID]*trackedJob{},
		scheduler: newScheduler(o, base),
		outcomes:  newOutcomes(),
	}
}

func (r *Runner) now() time.Duration { return time.Since(r.base) }

// signal makes Run look whether something may start.
func (r *Runner) signal() {
	select {
	case r.signals <- struct{}{}:
	default:
	}
}

// Run starts attempts until the context ends; those under way then go on, so
// call Drain next. It returns an error if it was called before.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	again := r.life.started
	r.life.started = true
	r.mu.Unlock()
	if again {
		return errors.New("attempt runner started twice")
	}
	timer := time.NewTimer(never)
	defer timer.Stop()
	for ctx.Err() == nil {
		next := r.runOnce(ctx)
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(next)
		}
		select {
		case <-ctx.Done():
		case <-r.signals:
		case <-timer.C:
		}
	}
	r.mu.Lock()
	r.life.stopped = true
	r.mu.Unlock()
	return nil
}

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

// Cancel takes a queued job out again, as when its webhook was suspended. It
// returns false if nothing of this delivery is queued.
func (r *Runner) Cancel(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.jobs[uid]
	if job == nil || job.phase != Queued {
		return false
	}
	delete(r.jobs, uid)
	r.scheduler.withdraw(job, r.now())
	return true
}

// State returns what the runner knows about a delivery.
func (r *Runner) State(uid types.UID) State {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.jobs[uid]
	if job == nil {
		return r.outcomes.state(uid)
	}
	state := State{Phase: job.phase, Attempts: int(job.number) - 1}
	if job.phase == Finished {
		state.Outcome = *job.outcome
		state.Attempts = job.outcome.attempts()
	}
	return state
}

// Acknowledge says what became of the attempts of a delivery: that its object shows
// them, or why it never will. See Ack.
func (r *Runner) Acknowledge(uid types.UID, ack Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, job := r.now(), r.jobs[uid]
	isQueued := job != nil && job.phase == Queued
	isFinished := job != nil && job.phase == Finished
	withdraw := func() {
		delete(r.jobs, uid)
		r.scheduler.withdraw(job, now)
	}
	r.outcomes.dropExpired(now)
	switch {
	case ack.Gone:
		attempts := 0
		switch {
		case isQueued:
			withdraw()
		case isFinished:
			r.releaseJob(job, now)
			attempts = job.outcome.attempts()
		case job != nil:
			job.forgotten = true
		}
		r.outcomes.expireSoon(uid, attempts, now)
	case ack.Dropped:
		if isFinished {
			r.releaseJob(job, now)
			r.outcomes.expireSoon(uid, job.outcome.attempts(), now)
		}
	case ack.Cached:
		r.outcomes.shown(uid, ack.Attempts, now)
		if isQueued && ack.Attempts >= int(job.number) {
			withdraw()
		}
	default:
		if ack.Attempts > 0 {
			r.outcomes.add(uid, ack.Attempts, ack.Final, now)
		}
		switch {
		case isFinished && ack.Attempts >= job.outcome.attempts():
			r.releaseJob(job, now)
		case isQueued && ack.Attempts >= int(job.number):
			withdraw()
		}
	}
}

// Hold starts nothing of a webhook before the given time. Then its attempts start
// one by one until one succeeds. A later call extends a hold, never shortens it.
func (r *Runner) Hold(key types.NamespacedName, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, h := r.now(), r.scheduler.webhook(key)
	h.tracker.ResetLimit()
	if wait := time.Until(until); wait > 0 {
		h.tracker.Hold(until)
		r.scheduler.holds.hold(h, until, now+wait)
	}
	r.scheduler.scheduleWebhook(h, now)
	r.signal()
}

// HoldUntil returns until when nothing of a webhook starts, the zero time if it
// is not held.
func (r *Runner) HoldUntil(key types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scheduler.webhooks[key]
	if h == nil || !h.isHeld() || h.hold.ends <= r.now() {
		return time.Time{}
	}
	return h.hold.until
}

// Reset says that what was learned about the endpoint of a webhook counts no more,
// or less.
func (r *Runner) Reset(key types.NamespacedName, change WebhookChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, h, now := &r.scheduler, r.scheduler.webhooks[key], r.now()
	switch {
	case h == nil:
		return
	case change.Gone:
		h.forgotten = true
		h.tracker.Restart() // another webhook of that name learns nothing from attempts that are under way
		s.endWebhookHold(h)
		s.updateWebhook(h, now)
		s.retireWebhook(h)
	case change.Destination != "":
		s.endWebhookHold(h) // it may be held though nothing was ever submitted
		s.redirectWebhook(h, change.Destination)
		s.updateWebhook(h, now)
	default:
		h.tracker.ResetLimit()
		if change.Judged && h.tracker.IsGone(s.clock(now)) {
			s.endWebhookHold(h)
		}
		s.scheduleWebhook(h, now)
	}
	r.signal()
}

// PlatformHealth says how the write of a delivery's status in a namespace went.
// Once writes of a namespace have not been taken for StallAfter no attempt of it
// starts; once the API server has not been reached for that long, none at all.
func (r *Runner) PlatformHealth(namespace string, write WriteResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, now := &r.scheduler, r.now()
	if write == WriteUnreachable {
		s.apiServer.fail(now)
		return
	}
	if write != WriteUnanswered && s.reached() {
		r.signal()
	}
	if write == WriteTaken {
		s.lastWrite = now
	}
	space := s.namespaces[namespace]
	switch {
	case write == WriteConflicted || space == nil: // it has no attempts
	case write == WriteTaken && space.writes.failing:
		s.forget(space)
		s.admitWriteWaiters(space, now)
		r.signal()
	case write != WriteTaken:
		if s.fail(space, now) {
			for _, job := range r.outcomes.withSlot(space) {
				s.strand(job)
			}
		}
		r.signal()
	}
}

// Drain starts nothing any more and waits until nothing is under way. It returns
// the deliveries whose attempt was made and whose outcome waits to be written,
// oldest outcome first, and an error if the context ends before.
func (r *Runner) Drain(ctx context.Context) (unsettled []types.NamespacedName, err error) {
	r.mu.Lock()
	r.life.drain()
	r.life.checkDrained(r.underWay.n)
	r.mu.Unlock()
	select {
	case <-r.life.drained:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay.n > 0 {
		err = fmt.Errorf("drain attempts, %d under way: %w", r.underWay.n, ctx.Err())
	}
	return r.outcomes.unsettled(), err
}
