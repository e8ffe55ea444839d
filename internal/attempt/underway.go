// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

const (
	// prepareTimeout bounds Prepare.
	prepareTimeout = 10 * time.Second
	// sendGrace is how much longer than the attempt's own timeout the dispatcher
	// may take to answer before its result counts as lost.
	sendGrace = 5 * time.Second
	// maxLosses is how many losses of one job are a failed attempt.
	maxLosses = 3
	// burstDivisor is the part of a class's slots that slow attempts may fill at once.
	burstDivisor = 16
	// marginDivisor is the part of the time that slow attempts take by which they are
	// started faster than they end.
	marginDivisor = 5
	// paceWindow is over how many slow attempts that time is averaged.
	paceWindow = 32
	// throttleFactor is how many times as long as the write of its latest outcome an
	// endpoint that fails gets no attempt, maxThrottle how long at most.
	throttleFactor = 7
	maxThrottle    = time.Second
	// unsent is the time of sending of what has not been sent.
	unsent = time.Duration(-1)
)

// attempt is one attempt that is under way.
type attempt struct {
	job         *trackedJob
	destination *destination
	class       Class // whose slots it holds
	era, epoch  uint32
	start       uint64        // of the webhook's
	sent        time.Duration // when it was handed to the sender; unsent while it is being prepared
	takesLong   bool          // sent more than SlowAfter ago
	wait        time.Duration // before it is prepared
	probe       bool          // may be sent although writes have been failing
	webhookNode node[attempt] // in webhook.attempts
	ageNode     node[attempt] // in Runner.recent
}

// start gives a job, which has left its queue, its slots.
func (r *Runner) start(job *trackedJob, now time.Duration) *attempt {
	h := job.webhook
	a := &attempt{job: job, destination: h.destination, class: h.class, era: h.era, epoch: h.epoch, sent: unsent}
	a.webhookNode.value, a.ageNode.value = a, a
	job.phase = InFlight
	r.queued--
	r.underWay++
	r.slots.used[a.class]++
	a.destination.slots.used[a.class]++
	h.attempts.pushBack(&a.webhookNode)
	h.underWay++
	h.namespace.unsettled++
	h.starts++
	a.start = h.starts
	if h.underWay >= h.limit {
		h.fullAt = h.starts
	}
	r.markProbe(a, now)
	a.wait = r.startDelay(a, now)
	r.schedule(h)
	r.admitWaiting(h.destination)
	return a
}

// startDelay returns how long to wait before an attempt of a slow webhook is
// prepared. Attempts that hang end together; if those that follow them began
// together too, they would stay in step for ever, and with them all that they
// ask of the API server. So the share of slow webhooks is filled within the time
// that its attempts have lately taken: by Little's law that is as fast as they
// can use it, less a margin so that the wait is never what bounds them.
func (r *Runner) startDelay(a *attempt, now time.Duration) time.Duration {
	if !a.class.isSlow() || a.probe || r.pause.probe == a {
		return 0
	}
	slots := r.slots.eighths(4)
	if a.class == Hanging {
		slots = r.slots.eighths(1)
	}
	return r.paces[a.class].delay(max(r.slowAfter, r.paces[a.class].expectedDuration()), slots, now)
}

// startPace spreads the attempts of a class over the time that they take.
type startPace struct {
	nextStart       time.Duration // when the next one may
	averageDuration time.Duration // moving average of how long they were under way
}

func (p *startPace) expectedDuration() time.Duration {
	return p.averageDuration - p.averageDuration/marginDivisor
}

// delay returns how long the next attempt waits if so many slots are filled within
// a time.
func (p *startPace) delay(within time.Duration, slots int, now time.Duration) time.Duration {
	at := max(p.nextStart, now-within/burstDivisor)
	p.nextStart = at + within/time.Duration(slots)
	return max(0, at-now)
}

// observe averages how long an attempt was under way.
func (p *startPace) observe(took time.Duration) {
	if p.averageDuration == 0 {
		p.averageDuration = took
		return
	}
	p.averageDuration += (took - p.averageDuration) / paceWindow
}

// makeAttempt makes one attempt. It runs in a goroutine of its own.
func (r *Runner) makeAttempt(ctx context.Context, a *attempt) {
	job := a.job
	if a.wait > 0 {
		select {
		case <-time.After(a.wait):
		case <-r.closing:
		}
	}
	prepareCtx, cancel := context.WithTimeout(ctx, prepareTimeout)
	request, note, err := job.prepare(prepareCtx)
	cancel()
	if err != nil {
		r.prepareFailed(a, Outcome{Number: int(job.number), Note: note, Err: err})
		return
	}
	if !r.handOver(a) {
		return
	}
	limit := max(time.Duration(job.timeout)*time.Millisecond, request.Timeout) + sendGrace
	sendCtx, cancel := context.WithTimeout(ctx, limit)
	began := time.Now()
	result, err := r.sender.Send(sendCtx, request)
	cancel()
	switch {
	case err == nil:
		r.resultArrived(a, Outcome{Number: int(job.number), Result: result, Note: note})
	case errors.Is(err, dispatcher.ErrUnavailable):
		r.dispatcherMissing(a)
	default:
		r.resultLost(a, Outcome{Number: int(job.number), Note: note, Result: dispatcher.Result{
			StartedAt: began,
			Duration:  time.Since(began),
			Reason:    dispatcher.ReasonDispatcherLost,
			Message:   "the dispatcher ended while it held the attempt, three times",
		}})
	}
}

// handOver notes that an attempt, now prepared, is about to be sent. It returns
// false, and returns the job, if meanwhile nothing may start any more.
func (r *Runner) handOver(a *attempt) bool {
	open := r.gate()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	stalled := !a.probe && (r.writes.stalled(now, r.stallAfter) || a.job.webhook.namespace.writes.stalled(now, r.stallAfter))
	if a.job.forgotten || a.job.webhook.held() || !open || stalled || r.stopped || r.draining {
		r.returnJob(a)
		return false
	}
	a.sent = now
	r.recent.pushBack(&a.ageNode)
	if r.recent.n == 1 || r.pause.probe == a {
		r.signal() // when to look again depends on it
	}
	return true
}

// endAttempt takes an attempt out of those under way. Its slot stays taken: it is
// the job's until releaseSlot.
func (r *Runner) endAttempt(a *attempt) {
	h := a.job.webhook
	a.ageNode.detach()
	a.webhookNode.detach()
	r.underWay--
	a.destination.slots.used[a.class]--
	a.job.slotClass = a.class
	if a.era == h.era {
		h.underWay--
		if a.takesLong {
			h.slowAttempts--
		}
	}
	if r.lostAttempts.current == a {
		r.lostAttempts.current = nil
	}
	if r.pause.probe == a {
		r.pause.probe = nil
	}
	r.lostAttempts.requeue(&h.lost)
	r.lostAttempts.requeue(&a.destination.lost)
	r.admitWaiting(a.destination)
	r.dropDestination(a.destination)
	r.checkDrained()
	r.signal()
}

// releaseSlot gives back the slot of an attempt that has ended, unless it was stranded.
func (r *Runner) releaseSlot(job *trackedJob) {
	job.webhook.namespace.unsettled--
	if job.stranded {
		job.stranded = false
		r.stranded--
		return
	}
	r.slots.used[job.slotClass]--
}

// returnJob returns the job of an attempt that was not made to where it came from.
func (r *Runner) returnJob(a *attempt) {
	job := a.job
	r.endAttempt(a)
	r.releaseSlot(job)
	switch {
	case job.forgotten:
		r.remove(job)
	case job.losses > 0:
		job.phase = Queued
		r.queued++
		r.lostAttempts.ready[job.webhook.class].pushFront(&job.node)
	default:
		r.enqueue(job)
	}
	r.update(job.webhook, r.now())
	r.retire(job.webhook)
}

// dispatcherMissing notes that there was no dispatcher to hand an attempt to.
func (r *Runner) dispatcherMissing(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause.unavailable(a, r.now())
	r.returnJob(a)
}

// prepareFailed notes that an attempt could not be made.
func (r *Runner) prepareFailed(a *attempt, outcome Outcome) {
	r.mu.Lock()
	r.endAttempt(a)
	r.releaseSlot(a.job)
	wake := r.keepOutcome(a.job, outcome)
	r.update(a.job.webhook, r.now())
	r.retire(a.job.webhook)
	r.mu.Unlock()
	wake(a.job.name())
}

// resultArrived processes the result of an attempt.
func (r *Runner) resultArrived(a *attempt, outcome Outcome) {
	r.mu.Lock()
	now := r.now()
	job, h := a.job, a.job.webhook
	r.pause = dispatcherPause{}
	if a.class.isSlow() {
		r.paces[a.class].observe(now - a.sent)
	}
	r.endAttempt(a)
	r.observeResult(h, a, outcome.Result, now)
	r.applyRetryAfter(h, a, outcome.Result, now)
	r.update(h, now)
	if a.era == h.era {
		r.moveOutcomeSlot(job, h.class)
	}
	wake := r.keepOutcome(job, outcome)
	r.retire(h)
	r.mu.Unlock()
	wake(job.name())
}

// resultLost notes that the result of an attempt was lost. The outcome is what the
// last loss of a job comes to.
func (r *Runner) resultLost(a *attempt, outcome Outcome) {
	r.mu.Lock()
	now := r.now()
	job, h := a.job, a.job.webhook
	r.endAttempt(a)
	job.losses++
	wake := wakeNone
	switch {
	case job.forgotten:
		r.releaseSlot(job)
		r.remove(job)
	case job.losses < maxLosses:
		r.releaseSlot(job)
		r.lose(job, now)
	default:
		wake = r.keepOutcome(job, outcome)
	}
	r.update(h, now)
	r.retire(h)
	r.mu.Unlock()
	wake(job.name())
}

// moveOutcomeSlot moves the slot that an outcome keeps to another class.
func (r *Runner) moveOutcomeSlot(job *trackedJob, class Class) {
	r.slots.used[job.slotClass]--
	r.slots.used[class]++
	job.slotClass = class
}

// wakeNone is called for an outcome without a delivery.
func wakeNone(types.NamespacedName) {}

// keepOutcome keeps an outcome. It returns what to call with its name once the lock
// is given back.
func (r *Runner) keepOutcome(job *trackedJob, outcome Outcome) func(types.NamespacedName) {
	job.webhook.jobCount--
	job.phase = Finished
	job.outcome, job.due = &outcome, r.now()
	job.prepare = nil
	r.finished.pushBack(&job.node)
	if outcome.Err == nil {
		job.webhook.unacknowledged++
		r.schedule(job.webhook)
	}
	if job.forgotten {
		r.releaseOutcome(job)
		r.acknowledgements.expireSoon(job.uid, outcome.attempts(), r.now())
		return wakeNone
	}
	if job.webhook.class.isSlow() {
		return r.wakeSlow
	}
	return r.wakeCaller
}
