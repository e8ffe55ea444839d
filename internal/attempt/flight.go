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
	// slack is the part of a class's slots that slow attempts may fill at once.
	slack = 16
	// margin is the part of the time that slow attempts take by which they are
	// started faster than they end.
	margin = 5
	// memoryOfSlow is over how many slow attempts that time is averaged.
	memoryOfSlow = 32
	// writeRest is how many times as long as its latest outcome took to be written an
	// endpoint that fails is left alone, mostRest how long at most.
	writeRest = 7
	mostRest  = time.Second
	// unsent is the time of sending of what has not been sent.
	unsent = time.Duration(-1)
)

// flight is one attempt that is being made.
type flight struct {
	rec        *record
	dest       *destination
	class      Class // whose slots it holds
	era, epoch uint32
	start      uint64        // of the webhook's
	sent       time.Duration // when it was handed to the sender; unsent while it is being prepared
	late       bool          // sent more than SlowAfter ago
	wait       time.Duration // before it is prepared
	probe      bool          // may be sent although writes have been failing
	mate       node[flight]  // in webhook.flights
	age        node[flight]  // in Runner.young
}

// start gives a job, which has left its queue, its slots.
func (r *Runner) start(rec *record, now time.Duration) *flight {
	h := rec.hook
	f := &flight{rec: rec, dest: h.dest, class: h.class, era: h.era, epoch: h.epoch, sent: unsent}
	f.mate.value, f.age.value = f, f
	rec.phase = InFlight
	r.queued--
	r.inFlight++
	r.slots.used[f.class]++
	f.dest.slots.used[f.class]++
	h.flights.pushBack(&f.mate)
	h.inFlight++
	h.space.unsettled++
	h.starts++
	f.start = h.starts
	if h.inFlight >= h.limit {
		h.full = h.starts
	}
	r.mark(f, now)
	f.wait = r.stagger(f, now)
	r.position(h)
	r.wake(h.dest)
	return f
}

// stagger returns how long to wait before an attempt of a slow webhook is
// prepared. Attempts that hang end together; if those that follow them began
// together too, they would stay in step for ever, and with them all that they
// ask of the API server. So the share of slow webhooks is filled within the time
// that its attempts have lately taken: by Little's law that is as fast as they
// can use it, less a margin so that the wait is never what bounds them.
func (r *Runner) stagger(f *flight, now time.Duration) time.Duration {
	if !f.class.isSlow() || f.probe || r.pause.probe == f {
		return 0
	}
	slots := r.slots.part(4)
	if f.class == Hanging {
		slots = r.slots.part(1)
	}
	return r.paces[f.class].next(max(r.slowAfter, r.paces[f.class].typical()), slots, now)
}

// attemptPace spreads the attempts of a class over the time that they take.
type attemptPace struct {
	begins time.Duration // when the next one may
	took   time.Duration // moving average of how long those that ended were out
}

func (p *attemptPace) typical() time.Duration { return p.took - p.took/margin }

// next returns how long the next attempt waits if so many slots are filled within
// a time.
func (p *attemptPace) next(within time.Duration, slots int, now time.Duration) time.Duration {
	at := max(p.begins, now-within/slack)
	p.begins = at + within/time.Duration(slots)
	return max(0, at-now)
}

// learn takes in how long an attempt was out.
func (p *attemptPace) learn(took time.Duration) {
	if p.took == 0 {
		p.took = took
		return
	}
	p.took += (took - p.took) / memoryOfSlow
}

// attempt makes one attempt. It runs in a goroutine of its own.
func (r *Runner) attempt(ctx context.Context, f *flight) {
	rec := f.rec
	if f.wait > 0 {
		select {
		case <-time.After(f.wait):
		case <-r.closing:
		}
	}
	prepareCtx, cancel := context.WithTimeout(ctx, prepareTimeout)
	request, note, err := rec.prepare(prepareCtx)
	cancel()
	if err != nil {
		r.unprepared(f, Outcome{Number: int(rec.number), Note: note, Err: err})
		return
	}
	if !r.handOver(f) {
		return
	}
	limit := max(time.Duration(rec.timeout)*time.Millisecond, request.Timeout) + sendGrace
	sendCtx, cancel := context.WithTimeout(ctx, limit)
	began := time.Now()
	result, err := r.sender.Send(sendCtx, request)
	cancel()
	switch {
	case err == nil:
		r.ended(f, Outcome{Number: int(rec.number), Result: result, Note: note})
	case errors.Is(err, dispatcher.ErrUnavailable):
		r.unavailable(f)
	default:
		r.lost(f, Outcome{Number: int(rec.number), Note: note, Result: dispatcher.Result{
			StartedAt: began,
			Duration:  time.Since(began),
			Reason:    dispatcher.ReasonDispatcherLost,
			Message:   "the dispatcher ended while it held the attempt, three times",
		}})
	}
}

// handOver notes that an attempt, now prepared, is about to be sent. It returns
// false, and puts the job back, if meanwhile nothing may start any more.
func (r *Runner) handOver(f *flight) bool {
	open := r.gate()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	stalled := !f.probe && (r.writes.stalled(now, r.stallAfter) || f.rec.hook.space.writes.stalled(now, r.stallAfter))
	if f.rec.forgotten || f.rec.hook.held() || !open || stalled || r.stopped || r.draining {
		r.putBack(f)
		return false
	}
	f.sent = now
	r.young.pushBack(&f.age)
	if r.young.n == 1 || r.pause.probe == f {
		r.nudge() // the alarm depends on it
	}
	return true
}

// land takes an attempt out of the air. Its slot stays taken, its charge is the
// record's until it is freed.
func (r *Runner) land(f *flight) {
	h := f.rec.hook
	f.age.leave()
	f.mate.leave()
	r.inFlight--
	f.dest.slots.used[f.class]--
	f.rec.charge = f.class
	if f.era == h.era {
		h.inFlight--
		if f.late {
			h.late--
		}
	}
	if r.lane.current == f {
		r.lane.current = nil
	}
	if r.pause.probe == f {
		r.pause.probe = nil
	}
	r.lane.revive(&h.lost)
	r.lane.revive(&f.dest.lost)
	r.wake(f.dest)
	r.drop(f.dest)
	r.checkDrained()
	r.nudge()
}

// free gives back the slot of an attempt that has landed, unless it has lost it.
func (r *Runner) free(rec *record) {
	rec.hook.space.unsettled--
	if rec.stranded {
		rec.stranded = false
		r.stranded--
		return
	}
	r.slots.used[rec.charge]--
}

// putBack returns the job of an attempt that was not made to where it came from.
func (r *Runner) putBack(f *flight) {
	rec := f.rec
	r.land(f)
	r.free(rec)
	switch {
	case rec.forgotten:
		r.remove(rec)
	case rec.losses > 0:
		rec.phase = Queued
		r.queued++
		r.lane.ready[rec.hook.class].pushFront(&rec.seat)
	default:
		r.enqueue(rec)
	}
	r.refresh(rec.hook, r.now())
	r.retire(rec.hook)
}

// unavailable takes in that there was no dispatcher to hand an attempt to.
func (r *Runner) unavailable(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause.unavailable(f, r.now())
	r.putBack(f)
}

// unprepared takes in that an attempt could not be made.
func (r *Runner) unprepared(f *flight, outcome Outcome) {
	r.mu.Lock()
	r.land(f)
	r.free(f.rec)
	wake := r.finish(f.rec, outcome)
	r.refresh(f.rec.hook, r.now())
	r.retire(f.rec.hook)
	r.mu.Unlock()
	wake(f.rec.name())
}

// ended takes in the result of an attempt.
func (r *Runner) ended(f *flight, outcome Outcome) {
	r.mu.Lock()
	now := r.now()
	rec, h := f.rec, f.rec.hook
	r.pause = pause{}
	if f.class.isSlow() {
		r.paces[f.class].learn(now - f.sent)
	}
	r.land(f)
	r.learn(h, f, outcome.Result, now)
	r.heed(h, f, outcome.Result, now)
	r.refresh(h, now)
	if f.era == h.era {
		r.recharge(rec, h.class)
	}
	wake := r.finish(rec, outcome)
	r.retire(h)
	r.mu.Unlock()
	wake(rec.name())
}

// lost takes in that the result of an attempt was lost. The outcome is what the
// last loss of a job comes to.
func (r *Runner) lost(f *flight, outcome Outcome) {
	r.mu.Lock()
	now := r.now()
	rec, h := f.rec, f.rec.hook
	r.land(f)
	rec.losses++
	wake := nobody
	switch {
	case rec.forgotten:
		r.free(rec)
		r.remove(rec)
	case rec.losses < maxLosses:
		r.free(rec)
		r.lose(rec, now)
	default:
		wake = r.finish(rec, outcome)
	}
	r.refresh(h, now)
	r.retire(h)
	r.mu.Unlock()
	wake(rec.name())
}

// recharge moves the slot that an outcome keeps to another class.
func (r *Runner) recharge(rec *record, class Class) {
	r.slots.used[rec.charge]--
	r.slots.used[class]++
	rec.charge = class
}

// nobody is woken by an outcome that nobody wants any more.
func nobody(types.NamespacedName) {}

// finish keeps an outcome. It returns what to call with its name once the lock
// is given back.
func (r *Runner) finish(rec *record, outcome Outcome) func(types.NamespacedName) {
	rec.hook.jobs--
	rec.phase = Finished
	rec.outcome, rec.due = &outcome, r.now()
	rec.prepare = nil
	r.finished.pushBack(&rec.seat)
	if outcome.Err == nil {
		rec.hook.unwritten++
		r.position(rec.hook)
	}
	if rec.forgotten {
		r.settle(rec)
		r.memory.fade(rec.uid, outcome.attempts(), r.now())
		return nobody
	}
	if rec.hook.class.isSlow() {
		return r.wakeSlow
	}
	return r.wakeCaller
}
