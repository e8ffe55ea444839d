// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"testing"
	"time"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// history is one endpoint and what happens to it, in fake time.
type history struct {
	Tracker

	rules Rules
	now   time.Time
}

func firstAttemptRules() Rules {
	return Rules{PerWebhook: 64, Initial: 2, SlowAfter: s, OpenIfSlow: true}
}

func retryRules() Rules { return Rules{PerWebhook: 32, SlowAfter: s, Ramp: true} }

func newHistory(rules Rules) *history {
	return &history{Tracker: NewTracker(), rules: rules, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (h *history) wait(d time.Duration) { h.now = h.now.Add(d) }

// attempt makes one attempt that ends after took.
func (h *history) attempt(took time.Duration, result Result) {
	a := h.Start()
	if took >= h.rules.SlowAfter {
		h.wait(h.rules.SlowAfter)
		h.MarkSlow(&a, &h.rules, h.now)
		h.wait(took - h.rules.SlowAfter)
	} else {
		h.wait(took)
	}
	h.End(a)
	h.Observe(a, result, took, &h.rules, h.now)
}

func (h *history) succeed(took ...time.Duration) {
	for _, each := range took {
		h.attempt(each, Result{Succeeded: true, Answered: true})
	}
}

func (h *history) refuse(times int) {
	for range times {
		h.attempt(ms, Result{Answered: true})
	}
}

func (h *history) timeOut(times int) {
	for range times {
		h.attempt(10*s, Result{TimedOut: true})
	}
}

func (h *history) askForPause(d time.Duration) {
	h.attempt(ms, Result{Answered: true, RetryAfter: h.now.Add(ms + d)})
}

func (h *history) goAway() { h.attempt(ms, Result{Answered: true, Gone: true}) }

// hang leaves an attempt under way for as long as makes it slow.
func (h *history) hang() {
	a := h.Start()
	h.wait(h.rules.SlowAfter)
	h.MarkSlow(&a, &h.rules, h.now)
}

// verdict is what is decided about an endpoint.
type verdict struct {
	state   State
	circuit CircuitState
	max     int
}

func (h *history) verdict() verdict {
	return verdict{h.State(&h.rules, h.now), h.CircuitState(h.now), h.MaxUnderWay(&h.rules, h.now)}
}

// TestVerdictAfterHistories has a case for each row of the tables in the comment of the package, for first attempts and
// for retries.
func TestVerdictAfterHistories(t *testing.T) {
	for name, c := range map[string]struct {
		happens      func(h *history)
		first, retry verdict
	}{
		"nothing": {
			func(*history) {},
			verdict{Unproven, Closed, 2}, verdict{Unproven, Closed, 1},
		},
		"a success": {
			func(h *history) { h.succeed(ms) },
			verdict{Healthy, Closed, 64}, verdict{Healthy, Closed, 2},
		},
		"a success 10 minutes ago": {
			func(h *history) { h.succeed(ms); h.wait(HealthyFor) },
			verdict{Healthy, Closed, 64}, verdict{Healthy, Closed, 2},
		},
		"a success longer ago": {
			func(h *history) { h.succeed(ms); h.wait(HealthyFor + 1) },
			verdict{Unproven, Closed, 2}, verdict{Unproven, Closed, 2},
		},
		"two failures": {
			func(h *history) { h.succeed(ms); h.refuse(2) },
			verdict{Healthy, Closed, 64}, verdict{Healthy, Closed, 1},
		},
		"three failures": {
			func(h *history) { h.succeed(ms); h.refuse(3) },
			verdict{Healthy, Open, 1}, verdict{Healthy, Open, 1},
		},
		"three failures, a second ago": {
			func(h *history) { h.succeed(ms); h.refuse(3); h.wait(s) },
			verdict{Healthy, HalfOpen, 1}, verdict{Healthy, HalfOpen, 1},
		},
		"the probe fails": {
			func(h *history) { h.refuse(3); h.wait(s); h.refuse(1); h.wait(2*s - ms) },
			verdict{Unproven, Open, 1}, verdict{Unproven, Open, 1},
		},
		"the probe fails, two seconds ago": {
			func(h *history) { h.refuse(3); h.wait(s); h.refuse(1); h.wait(2 * s) },
			verdict{Unproven, HalfOpen, 1}, verdict{Unproven, HalfOpen, 1},
		},
		"the probe succeeds": {
			func(h *history) { h.refuse(3); h.wait(s); h.succeed(ms) },
			verdict{Healthy, Closed, 64}, verdict{Healthy, Closed, 2},
		},
		"failures for ever, half a minute ago": {
			func(h *history) { h.refuse(100); h.wait(MaxOpen) },
			verdict{Unproven, HalfOpen, 1}, verdict{Unproven, HalfOpen, 1},
		},
		"a retry succeeds elsewhere": {
			func(h *history) { h.refuse(100); h.AllowProbe() },
			verdict{Unproven, HalfOpen, 1}, verdict{Unproven, HalfOpen, 1},
		},
		"an attempt is slow, still under way": {
			func(h *history) { h.succeed(ms); h.hang() },
			verdict{Slow, Open, 1}, verdict{Slow, Closed, 2},
		},
		"an attempt is slow, under way for long": {
			func(h *history) { h.succeed(ms); h.hang(); h.wait(s) },
			verdict{Slow, HalfOpen, 1}, verdict{Slow, Closed, 2},
		},
		"an attempt was slow": {
			func(h *history) { h.succeed(ms, 2*s) },
			verdict{Healthy, Open, 1}, verdict{Healthy, Closed, 2},
		},
		"attempts are slow as a rule": {
			func(h *history) { h.succeed(2*s, 2*s, 2*s); h.wait(4 * s) },
			verdict{Slow, HalfOpen, 1}, verdict{Slow, Closed, 2},
		},
		"an attempt times out": {
			func(h *history) { h.succeed(ms); h.timeOut(1) },
			verdict{Slow, Open, 1}, verdict{Slow, Closed, 1},
		},
		"a timeout, two quick successes": {
			func(h *history) { h.timeOut(1); h.wait(s); h.succeed(ms, ms) },
			verdict{Slow, Closed, 64}, verdict{Slow, Closed, 2},
		},
		"a timeout, three quick successes": {
			func(h *history) { h.timeOut(1); h.wait(s); h.succeed(ms, ms, ms) },
			verdict{Healthy, Closed, 64}, verdict{Healthy, Closed, 2},
		},
		"two timeouts": {
			func(h *history) { h.timeOut(2) },
			verdict{Hanging, Open, 1}, verdict{Hanging, Closed, 1},
		},
		"two timeouts, an answer": {
			func(h *history) { h.timeOut(2); h.wait(4 * s); h.refuse(1) },
			verdict{Slow, Open, 1}, verdict{Slow, Open, 1},
		},
		"timeouts for ever, two minutes ago": {
			func(h *history) { h.timeOut(100); h.wait(maxSlowOpen) },
			verdict{Hanging, HalfOpen, 1}, verdict{Hanging, HalfOpen, 1},
		},
		"a retry succeeds elsewhere, of a slow endpoint": {
			func(h *history) { h.timeOut(4); h.AllowProbe() },
			verdict{Hanging, Open, 1}, verdict{Hanging, HalfOpen, 1},
		},
		"a pause is asked for": {
			func(h *history) { h.succeed(ms); h.askForPause(time.Minute); h.wait(time.Minute - ms) },
			verdict{Healthy, Open, 1}, verdict{Healthy, Open, 1},
		},
		"a pause is asked for, and is over": {
			func(h *history) { h.succeed(ms); h.askForPause(time.Minute); h.wait(time.Minute) },
			verdict{Healthy, HalfOpen, 1}, verdict{Healthy, HalfOpen, 1},
		},
		"a pause of a day, an hour ago": {
			func(h *history) { h.askForPause(24 * time.Hour); h.wait(time.Hour) },
			verdict{Unproven, HalfOpen, 1}, verdict{Unproven, HalfOpen, 1},
		},
		"a pause, and a late success": {
			func(h *history) { h.askForPause(time.Minute); h.succeed(ms); h.AllowProbe() },
			verdict{Healthy, Open, 64}, verdict{Healthy, Open, 2},
		},
		"410": {
			func(h *history) { h.succeed(ms); h.goAway(); h.wait(GoneFor - ms) },
			verdict{Healthy, Open, 1}, verdict{Healthy, Open, 1},
		},
		"410, half a minute ago": {
			func(h *history) { h.succeed(ms); h.goAway(); h.wait(GoneFor) },
			verdict{Healthy, HalfOpen, 1}, verdict{Healthy, HalfOpen, 1},
		},
		"another endpoint": {
			func(h *history) { h.timeOut(2); h.askForPause(time.Hour); h.hang(); h.Restart() },
			verdict{Unproven, Closed, 2}, verdict{Unproven, Closed, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, retry := newHistory(firstAttemptRules()), newHistory(retryRules())
			c.happens(first)
			c.happens(retry)
			if got := first.verdict(); got != c.first {
				t.Errorf("for first attempts: got %v, want %v", got, c.first)
			}
			if got := retry.verdict(); got != c.retry {
				t.Errorf("for retries: got %v, want %v", got, c.retry)
			}
		})
	}
}

// Attempts to a former endpoint change nothing, however they end.
func TestAttemptsToAFormerEndpointAreNotLearnedFrom(t *testing.T) {
	for name, result := range map[string]Result{
		"a success": {Succeeded: true, Answered: true}, "a timeout": {TimedOut: true}, "no answer": {},
		"a pause": {Answered: true, RetryAfter: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}, "410": {Answered: true, Gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(firstAttemptRules())
			a := h.Start()
			h.Restart()
			present := h.Start()
			want := h.Tracker
			h.wait(10 * s)
			h.MarkSlow(&a, &h.rules, h.now)
			h.End(a)
			h.Observe(a, result, 10*s, &h.rules, h.now)
			if h.Tracker != want {
				t.Errorf("got %+v, want %+v", h.Tracker, want)
			}
			h.End(present)
			if h.UnderWay() != 0 {
				t.Errorf("%d attempts under way", h.UnderWay())
			}
		})
	}
}

func TestStatesHaveNames(t *testing.T) {
	for state, want := range []string{"Healthy", "Unproven", "Slow", "Hanging", "Unknown"} {
		if got := State(state).String(); got != want {
			t.Errorf("state %d: %s, want %s", state, got, want)
		}
	}
	for state, want := range []string{"Closed", "HalfOpen", "Open"} {
		if got := CircuitState(state).String(); got != want {
			t.Errorf("circuit %d: %s, want %s", state, got, want)
		}
	}
}

// An attempt that was under way beside the one that was answered 410 may succeed: the endpoint is gone all the same.
func TestASuccessFromBeforeDoesNotEndA410(t *testing.T) {
	h := newHistory(retryRules())
	h.succeed(ms, ms)
	gone, late := h.Start(), h.Start()
	h.End(gone)
	h.Observe(gone, Result{Answered: true, Gone: true}, ms, &h.rules, h.now)
	h.End(late)
	h.Observe(late, Result{Succeeded: true, Answered: true}, ms, &h.rules, h.now)
	if !h.IsGone(h.now) {
		t.Error("the 410 is forgotten")
	}
}
