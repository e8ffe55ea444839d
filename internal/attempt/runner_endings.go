// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// recordEnding processes how an attempt has ended, and wakes the caller.
func (r *Runner) recordEnding(a *attempt, e ending) {
	r.mu.Lock()
	wake := r.processEnding(a, e, r.now())
	r.mu.Unlock()
	wake(a.job.name())
}

// processEnding returns what to call with the name of the delivery once the lock is given
// back.
func (r *Runner) processEnding(a *attempt, e ending, now time.Duration) (wake func(types.NamespacedName)) {
	s, job, h := &r.scheduler, a.job, a.job.webhook
	switch e.kind {
	case answered:
		r.underWay.observe(a, now)
	case unavailable:
		r.underWay.pause.unavailable(a, now)
	}
	r.underWay.remove(a)
	s.end(a)
	r.life.checkDrained(r.underWay.n)
	r.signal()
	if e.kind == lost {
		job.losses++
	}
	if e.kind == answered {
		a.learn(s, &e, time.Now(), now)
	}
	wake = wakeNone
	switch {
	case e.kind == notPrepared:
		s.releaseSlot(job)
		wake = r.keepOutcome(job, e.outcome, now)
	case e.kind == answered, e.kind == lost && job.losses >= maxLosses && !job.forgotten:
		wake = r.keepOutcome(job, e.outcome, now)
	case job.forgotten:
		s.releaseSlot(job)
		h.jobCount--
		delete(r.jobs, job.uid)
	case e.kind == lost:
		s.releaseSlot(job)
		s.repeatLater(job, now)
	default:
		s.releaseSlot(job)
		s.returnJob(job)
	}
	s.updateWebhook(h, now)
	s.retireWebhook(h)
	return wake
}

// wakeNone is called for an outcome without a delivery.
func wakeNone(types.NamespacedName) {}

// keepOutcome keeps an outcome until it is acknowledged.
func (r *Runner) keepOutcome(job *trackedJob, outcome Outcome, now time.Duration) (wake func(types.NamespacedName)) {
	r.outcomes.keep(job, outcome, now)
	if outcome.Err == nil {
		r.scheduler.scheduleWebhook(job.webhook, now)
	}
	switch {
	case job.forgotten:
		r.releaseJob(job, now)
		r.outcomes.expireSoon(job.uid, outcome.attempts(), now)
		return wakeNone
	case job.webhook.state.IsSlow():
		return r.options.WakeSlow
	}
	return r.options.Wake
}

// releaseJob drops an outcome and gives back its slot.
func (r *Runner) releaseJob(job *trackedJob, now time.Duration) {
	delete(r.jobs, job.uid)
	if !r.outcomes.drop(job) {
		return
	}
	h := job.webhook
	if pause := h.throttle(now - job.due); pause > 0 {
		time.AfterFunc(pause, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			h.throttledOutcomes--
			r.scheduler.rescheduleWebhook(h, r.now())
			r.signal()
		})
	}
	r.scheduler.rescheduleWebhook(h, now)
	r.scheduler.releaseSlot(job)
	r.signal()
}
