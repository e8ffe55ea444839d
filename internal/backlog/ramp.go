// SPDX-License-Identifier: Apache-2.0

package backlog

import "time"

// ramp is how many attempts of a lot may be under way at a time.
type ramp struct {
	limit, top int
	// changed is when the limit last changed; succeeded: an attempt has since.
	changed   time.Time
	succeeded bool
}

// startRamp starts from a limit; top is how many attempts the webhook had at a time
// before.
func startRamp(limit, top int, now time.Time) ramp {
	return ramp{limit: max(1, limit), top: max(top, limit, minRampTop), changed: now}
}

// observe moves the limit by what came of an attempt that began at started. A failure
// of one that began before the last change says nothing new.
func (r *ramp) observe(kind ResultKind, started, now time.Time) {
	switch {
	case kind.isUnanswered():
		r.succeeded = false
		if !started.Before(r.changed) {
			r.limit, r.changed = max(1, r.limit/2), now
		}
	case kind == Succeeded:
		r.succeeded = true
		if now.Sub(r.changed) >= rampInterval {
			r.limit, r.changed, r.succeeded = min(2*r.limit, r.top), now, false
		}
	}
}
