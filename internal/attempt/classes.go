// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

const (
	// provenFor is how long a success counts as lately.
	provenFor = 10 * time.Minute
	// suspicion is how many quick successes clear a timeout.
	suspicion = 3
	// hangsAfter is how many attempts must have timed out in a row.
	hangsAfter = 2
	// weight is that of past answers against the latest one, less one.
	weight = 4
)

// experience is what attempts have shown about an endpoint.
type experience struct {
	succeeded   bool
	lastSuccess time.Duration
	typical     time.Duration // moving average of the time to an answer; 0: none yet
	suspicion   int           // quick successes until timeouts are forgiven
	timeouts    int           // in a row
	failing     bool          // the latest result is no success
}

// classify says what the experience means now.
func (h *webhook) classify(now, slowAfter time.Duration) Class {
	e := &h.experience
	switch {
	case e.timeouts >= hangsAfter:
		return Hanging
	case h.late > 0 || e.suspicion > 0 || e.typical > slowAfter:
		return Slow
	case e.succeeded && now-e.lastSuccess <= provenFor:
		return Proven
	}
	return Unproven
}

// reclass brings the class of a webhook up to date, and with it the slots that
// its attempts hold. One that was proven long ago starts carefully.
func (r *Runner) reclass(h *webhook, now time.Duration) {
	class := h.classify(now, r.slowAfter)
	if class == h.class {
		return
	}
	if h.class == Proven && class == Unproven {
		h.calm()
	}
	h.class = class
	for n := h.flights.head; n != nil; n = n.next {
		if f := n.value; f.era == h.era && !f.late {
			r.charge(f, class)
		}
	}
}

// charge moves the slots of an attempt in flight to another class.
func (r *Runner) charge(f *flight, class Class) {
	if f.class == class {
		return
	}
	r.slots.used[f.class]--
	r.slots.used[class]++
	f.dest.slots.used[f.class]--
	f.dest.slots.used[class]++
	f.class = class
	r.wake(f.dest)
}

// isSlow reports whether attempts of a class take long.
func (c Class) isSlow() bool { return c == Slow || c == Hanging }

// turnLate makes webhooks slow whose attempts have been out for SlowAfter.
func (r *Runner) turnLate(now time.Duration) {
	for f := r.young.first(); f != nil && f.sent+r.slowAfter <= now; f = r.young.first() {
		f.age.leave()
		f.late = true
		if f.class != Hanging {
			r.charge(f, Slow)
		}
		if h := f.rec.hook; f.era == h.era {
			h.late++
			r.refresh(h, now)
		}
	}
}

// learn takes in the result of an attempt that has just ended. The limit grows
// by successes of attempts during which it was reached.
func (r *Runner) learn(h *webhook, f *flight, result dispatcher.Result, now time.Duration) {
	if f.era != h.era {
		return
	}
	took := now - f.sent
	quick := took < r.slowAfter
	e := &h.experience
	if result.StatusCode != 0 && result.Reason != dispatcher.ReasonTimeout {
		if e.typical == 0 {
			e.typical = took
		} else {
			e.typical = (e.typical*(weight-1) + took) / weight
		}
	}
	e.failing = !result.Succeeded()
	e.timeouts++
	if result.Reason != dispatcher.ReasonTimeout {
		e.timeouts = 0
	}
	switch {
	case result.Succeeded():
		e.succeeded, e.lastSuccess = true, now
		if quick {
			e.suspicion = max(0, e.suspicion-1)
		}
		if h.full >= f.start && f.epoch == h.epoch {
			h.limit = min(h.limit+1, r.perWebhook)
		}
	case result.Reason == dispatcher.ReasonTimeout:
		e.suspicion = suspicion
		h.calm()
	case result.StatusCode == 0:
		h.calm()
	case f.epoch == h.epoch: // an answer that is not a success
		h.limit = max(1, h.limit/2)
		h.epoch++
	}
}
