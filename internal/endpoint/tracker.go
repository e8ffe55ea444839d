// SPDX-License-Identifier: Apache-2.0

package endpoint

import "time"

// Tracker is what attempts have shown about the endpoint of one webhook, and how many of them may be under way.
type Tracker struct {
	Circuit
	concurrency

	lastSuccess         time.Time
	lastFailure         time.Time
	latencyAverage      time.Duration // of the time to an answer; 0: none yet
	consecutiveTimeouts int
	suspicion           int  // quick successes until timeouts are forgiven
	failing             bool // the latest result is no success
}

// concurrency counts attempts under way.
type concurrency struct {
	limit        int    // with Rules.Ramp: grows with successes, falls with failures
	underWay     int    // attempts of this era
	slowUnderWay int    // of these, the ones under way for longer than Rules.SlowAfter
	starts       uint64 // attempts started so far
	fullAt       uint64 // of these, the latest that reached the limit
	era          uint32 // counts endpoints: only attempts to the present one are learned from
	epoch        uint32 // counts drops of the limit: only attempts started since move it
}

// Attempt is what a Tracker must know of an attempt under way.
type Attempt struct {
	start      uint64
	era, epoch uint32
	// IsSlow says that the attempt has been under way for longer than Rules.SlowAfter.
	IsSlow bool
}

// Result is what came of an attempt. The zero Result is a failure without an answer.
type Result struct {
	Succeeded bool
	// Answered: the endpoint answered in time, with success or without.
	Answered bool
	TimedOut bool
	// Gone: the answer was 410.
	Gone bool
	// RetryAfter is until when the endpoint asked for a pause; zero: it did not.
	RetryAfter time.Time
}

// NewTracker returns the Tracker of an endpoint of which nothing is known.
func NewTracker() Tracker { return Tracker{concurrency: concurrency{limit: 1}} }

// State says what the evidence means at a time.
func (t *Tracker) State(r *Rules, now time.Time) State {
	switch {
	case t.consecutiveTimeouts >= timeoutsToHang:
		return Hanging
	case t.slowUnderWay > 0 || t.suspicion > 0 || t.latencyAverage > r.SlowAfter:
		return Slow
	case t.hasSucceededLately(now):
		return Healthy
	}
	return Unproven
}

func (t *Tracker) hasSucceededLately(now time.Time) bool {
	return !t.lastSuccess.IsZero() && now.Sub(t.lastSuccess) <= HealthyFor
}

// LastSuccess and LastFailure are when such a result was observed; zero: never.
func (t *Tracker) LastSuccess() time.Time { return t.lastSuccess }

// LastFailure is described at LastSuccess.
func (t *Tracker) LastFailure() time.Time { return t.lastFailure }

// LatestFailed reports whether the latest result was no success.
func (t *Tracker) LatestFailed() bool { return t.failing }

// UnderWay is how many attempts to the present endpoint are under way.
func (t *Tracker) UnderWay() int { return t.underWay }

// SlowUnderWay is how many of these are slow.
func (t *Tracker) SlowUnderWay() int { return t.slowUnderWay }

// isPrompt reports whether the endpoint usually answers well within the time that it may take.
func (t *Tracker) isPrompt(r *Rules) bool { return t.latencyAverage <= r.SlowAfter/promptDivisor }

// MaxUnderWay is how many attempts may be under way: one while the circuit is not closed.
func (t *Tracker) MaxUnderWay(r *Rules, now time.Time) int {
	switch {
	case t.IsTripped():
		return 1
	case r.Ramp:
		return min(t.limit, r.PerWebhook)
	case !t.hasSucceededLately(now):
		return min(r.Initial, r.PerWebhook)
	}
	return r.PerWebhook
}

// Start counts an attempt as under way.
func (t *Tracker) Start() Attempt {
	t.underWay++
	t.starts++
	if t.underWay >= t.limit {
		t.fullAt = t.starts
	}
	return Attempt{start: t.starts, era: t.era, epoch: t.epoch}
}

// IsCurrent reports whether an attempt goes to the present endpoint.
func (t *Tracker) IsCurrent(a Attempt) bool { return a.era == t.era }

// MarkSlow notes that an attempt has been under way for Rules.SlowAfter.
func (t *Tracker) MarkSlow(a *Attempt, r *Rules, since time.Time) {
	a.IsSlow = true
	if !t.IsCurrent(*a) {
		return
	}
	t.slowUnderWay++
	if r.OpenIfSlow {
		t.observeSlow(since)
	}
}

// End counts an attempt as not under way any more.
func (t *Tracker) End(a Attempt) {
	if !t.IsCurrent(a) {
		return
	}
	t.underWay--
	if a.IsSlow {
		t.slowUnderWay--
	}
}

// Observe learns from the result of an attempt that has ended, unless it went to a former endpoint.
func (t *Tracker) Observe(a Attempt, result Result, took time.Duration, r *Rules, now time.Time) {
	if !t.IsCurrent(a) {
		return
	}
	quick := took < r.SlowAfter
	if result.Answered {
		if t.latencyAverage == 0 {
			t.latencyAverage = took
		} else {
			t.latencyAverage = (t.latencyAverage*(latencyWeight-1) + took) / latencyWeight
		}
	}
	if r.OpenIfSlow {
		t.observeDuration(!quick, a.IsSlow, now)
	}
	t.observeResult(result, now)
	t.failing = !result.Succeeded
	t.consecutiveTimeouts++
	if !result.TimedOut {
		t.consecutiveTimeouts = 0
	}
	switch {
	case result.Succeeded:
		t.lastSuccess = now
		if quick {
			t.suspicion = max(0, t.suspicion-1)
		}
	default:
		t.lastFailure = now
		if result.TimedOut {
			t.suspicion = successesToForgive
		}
	}
	t.moveLimit(a, result, r)
}

// moveLimit grows the limit by successes of attempts during which it was reached. An answer that is no success halves
// it, once for all attempts that were under way together; no answer, or one that asks for a pause, makes attempts start
// one by one.
func (t *Tracker) moveLimit(a Attempt, result Result, r *Rules) {
	switch {
	case result.Succeeded:
		if t.fullAt >= a.start && a.epoch == t.epoch {
			t.limit = min(t.limit+1, r.PerWebhook)
		}
	case !result.Answered, result.Gone, !result.RetryAfter.IsZero():
		t.ResetLimit()
	case a.epoch == t.epoch:
		t.limit = max(1, t.limit/2)
		t.epoch++
	}
}

// ResetLimit lets one attempt at a time start until one succeeds, with Rules.Ramp.
func (c *concurrency) ResetLimit() {
	c.limit = 1
	c.epoch++
}

// Limit is how many attempts may be under way with Rules.Ramp while the circuit is closed.
func (c *concurrency) Limit() int { return c.limit }

// Restart begins with another endpoint. Attempts under way went to the former one and count no more.
func (t *Tracker) Restart() {
	counts := t.concurrency
	counts.ResetLimit()
	counts.era++
	counts.underWay, counts.slowUnderWay = 0, 0
	*t = Tracker{concurrency: counts}
}
