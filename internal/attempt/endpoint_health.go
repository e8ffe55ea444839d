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
	// hangingAfter is how many attempts must have timed out in a row.
	hangingAfter = 2
	// latencyWeight is that of past answers against the latest one, less one.
	latencyWeight = 4
)

// endpointHealth is what attempts have shown about an endpoint.
type endpointHealth struct {
	succeeded           bool
	lastSuccess         time.Duration
	latencyAverage      time.Duration // moving average of the time to an answer; 0: none yet
	suspicion           int           // quick successes until timeouts are forgiven
	consecutiveTimeouts int           // in a row
	failing             bool          // the latest result is no success
}

// classify says what the experience means now.
func (h *webhook) classify(now, slowAfter time.Duration) Class {
	e := &h.health
	switch {
	case e.consecutiveTimeouts >= hangingAfter:
		return Hanging
	case h.slowAttempts > 0 || e.suspicion > 0 || e.latencyAverage > slowAfter:
		return Slow
	case e.succeeded && now-e.lastSuccess <= provenFor:
		return Proven
	}
	return Unproven
}

// isSlow reports whether attempts of a class take long.
func (c Class) isSlow() bool { return c == Slow || c == Hanging }

// observeResult processes the result of an attempt that has just ended. The limit grows
// by successes of attempts during which it was reached.
func (h *webhook) observeResult(a *attempt, result dispatcher.Result, l limits, now time.Duration) {
	took := now - a.sent
	quick := took < l.slowAfter
	e := &h.health
	if result.StatusCode != 0 && result.Reason != dispatcher.ReasonTimeout {
		if e.latencyAverage == 0 {
			e.latencyAverage = took
		} else {
			e.latencyAverage = (e.latencyAverage*(latencyWeight-1) + took) / latencyWeight
		}
	}
	e.failing = !result.Succeeded()
	e.consecutiveTimeouts++
	if result.Reason != dispatcher.ReasonTimeout {
		e.consecutiveTimeouts = 0
	}
	switch {
	case result.Succeeded():
		e.succeeded, e.lastSuccess = true, now
		if quick {
			e.suspicion = max(0, e.suspicion-1)
		}
		if h.fullAt >= a.start && a.epoch == h.epoch {
			h.limit = min(h.limit+1, l.perWebhook)
		}
	case result.Reason == dispatcher.ReasonTimeout:
		e.suspicion = suspicion
		h.resetLimit()
	case result.StatusCode == 0:
		h.resetLimit()
	case a.epoch == h.epoch: // an answer that is not a success
		h.limit = max(1, h.limit/2)
		h.epoch++
	}
}
