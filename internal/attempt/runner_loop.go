// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"
)

const (
	// startBatch is how many attempts start before others get the lock.
	startBatch = 64
	// gatePoll is how often a closed gate, or a throttle, is looked at again while
	// jobs wait.
	gatePoll = 100 * time.Millisecond
)

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
	if a.job.forgotten || h.isHeld() || !open || stalled || r.life.ends() {
		r.processEnding(a, ending{kind: notSent}, now)
		return false
	}
	if r.underWay.send(a, now) {
		r.signal()
	}
	return true
}
