// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// startBatch is how many attempts start before others get the lock.
	startBatch = 64
	// gatePoll is how often a closed gate, or a throttle, is looked at again while
	// jobs wait.
	gatePoll = 100 * time.Millisecond
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

// runOnce starts what may start and returns after how long to look again.
func (r *Runner) runOnce(ctx context.Context) time.Duration {
	ctx = context.WithoutCancel(ctx) // attempts under way are let end
	for {
		open := r.options.Gate()
		r.mu.Lock()
		now := r.now()
		r.underWay.markSlow(&r.scheduler, now)
		r.scheduler.advance(now)
		r.outcomes.dropExpired(now)
		r.underWay.pause.endIfHandedOver(now)
		started := 0
		if open {
			started = r.startDue(ctx, now)
		}
		next := r.underWay.nextChange(&r.scheduler, !open || r.options.Throttle(), now)
		r.mu.Unlock()
		if started < startBatch {
			if next == never {
				return never
			}
			return max(time.Microsecond, next-now)
		}
	}
}

// startDue starts up to startBatch attempts and returns how many.
func (r *Runner) startDue(ctx context.Context, now time.Duration) int {
	if r.life.ends() {
		return 0
	}
	s := &r.scheduler
	n := 0
	for n < startBatch && n < r.underWay.startAllowance(s, r.options.Throttle(), now) {
		job := s.nextLost(now)
		isLost := job != nil
		if job == nil {
			job = s.next(now)
		}
		if job == nil {
			break
		}
		a := s.start(job, now)
		r.underWay.add(a, s, now)
		if isLost {
			s.lost.current, s.lost.since = a, now
		}
		go a.run(ctx, r)
		n++
	}
	return n
}

// handOver notes that an attempt, now prepared, is about to be sent. It returns
// false, and returns the job, if meanwhile nothing may start any more.
func (r *Runner) handOver(a *attempt) bool {
	open := r.options.Gate()
	r.mu.Lock()
	defer r.mu.Unlock()
	now, h := r.now(), a.job.webhook
	stalled := !a.probe && r.scheduler.stalled(h.namespace, now)
	if a.job.forgotten || h.held() || !open || stalled || r.life.ends() {
		r.process(a, ending{kind: notSent}, now)
		return false
	}
	if r.underWay.send(a, now) {
		r.signal()
	}
	return true
}

// end processes how an attempt has ended, and wakes the caller.
func (r *Runner) end(a *attempt, e ending) {
	r.mu.Lock()
	wake := r.process(a, e, r.now())
	r.mu.Unlock()
	wake(a.job.name())
}

// process returns what to call with the name of the delivery once the lock is given
// back.
func (r *Runner) process(a *attempt, e ending, now time.Duration) (wake func(types.NamespacedName)) {
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
		wake = r.keep(job, e.outcome, now)
	case e.kind == answered, e.kind == lost && job.losses >= maxLosses && !job.forgotten:
		wake = r.keep(job, e.outcome, now)
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
	s.update(h, now)
	s.retire(h)
	return wake
}

// wakeNone is called for an outcome without a delivery.
func wakeNone(types.NamespacedName) {}

// keep keeps an outcome until it is acknowledged.
func (r *Runner) keep(job *trackedJob, outcome Outcome, now time.Duration) (wake func(types.NamespacedName)) {
	r.outcomes.keep(job, outcome, now)
	if outcome.Err == nil {
		r.scheduler.schedule(job.webhook, now)
	}
	switch {
	case job.forgotten:
		r.release(job, now)
		r.outcomes.expireSoon(job.uid, outcome.attempts(), now)
		return wakeNone
	case job.webhook.state.IsSlow():
		return r.options.WakeSlow
	}
	return r.options.Wake
}

// release drops an outcome and gives back its slot.
func (r *Runner) release(job *trackedJob, now time.Duration) {
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
			r.scheduler.scheduleAgain(h, r.now())
			r.signal()
		})
	}
	r.scheduler.scheduleAgain(h, now)
	r.scheduler.releaseSlot(job)
	r.signal()
}
