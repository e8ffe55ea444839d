// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// CircuitState says which attempts the circuit of an endpoint lets through.
type CircuitState uint8

const (
	// Closed: attempts flow.
	Closed CircuitState = iota
	// HalfOpen: one attempt, the probe, finds out.
	HalfOpen
	// Open: none flow.
	Open
)

// String returns the name of the state.
func (s CircuitState) String() string { return [...]string{"Closed", "HalfOpen", "Open"}[s] }

// Circuit is the circuit breaker of one endpoint. The zero Circuit is closed.
type Circuit struct {
	consecutiveFailures int
	consecutiveSlow     int // attempts in a row that took longer than Rules.SlowAfter, if these open the circuit
	openUntil           time.Time
	retryAfter          time.Time // the end of the Retry-After hold; zero: there is none
	goneUntil           time.Time // until when an answer of 410 counts
}

// CircuitState returns the state at a time.
func (c *Circuit) CircuitState(now time.Time) CircuitState {
	switch {
	case now.Before(c.openUntil):
		return Open
	case c.IsTripped():
		return HalfOpen
	}
	return Closed
}

// IsTripped reports whether the circuit is half-open, or will be when it is not open any more.
func (c *Circuit) IsTripped() bool { return c.isFailing() || c.consecutiveSlow > 0 }

func (c *Circuit) isFailing() bool { return c.consecutiveFailures >= FailuresToOpen }

// IsFailing reports whether consecutive failures have tripped the circuit, not a Retry-After hold.
func (c *Circuit) IsFailing() bool { return c.isFailing() && c.retryAfter.IsZero() }

// HeldUntil returns until when nothing may follow: the endpoint asked for a pause, or is gone. It may have passed.
func (c *Circuit) HeldUntil() time.Time {
	if c.goneUntil.After(c.retryAfter) {
		return c.goneUntil
	}
	return c.retryAfter
}

// Hold opens the circuit until a Retry-After hold ends. A later one extends a hold and never shortens it.
func (c *Circuit) Hold(until time.Time) {
	c.consecutiveFailures = max(c.consecutiveFailures, FailuresToOpen)
	if until.After(c.retryAfter) {
		c.retryAfter = until
	}
	c.open(until)
}

// IsGone reports whether nothing may follow because of an answer of 410 alone.
func (c *Circuit) IsGone(now time.Time) bool {
	return !now.Before(c.retryAfter) && now.Before(c.goneUntil)
}

// EndHold ends what HeldUntil tells. The circuit stays tripped: one attempt finds out.
func (c *Circuit) EndHold() {
	c.openUntil, c.retryAfter, c.goneUntil = time.Time{}, time.Time{}, time.Time{}
}

// EndedHold returns the end of a Retry-After hold that is over and was not dropped; the zero time: there is none.
func (c *Circuit) EndedHold(now time.Time) time.Time {
	if now.Before(c.openUntil) {
		return time.Time{}
	}
	return c.retryAfter
}

// DropHold drops a Retry-After hold that is over, unless it is another one by now.
func (c *Circuit) DropHold(ended time.Time) {
	if c.retryAfter.Equal(ended) {
		c.retryAfter = time.Time{}
	}
}

// Postpone keeps the circuit open for a moment longer, as while deliveries that waited for the end of a hold go first.
func (c *Circuit) Postpone(now time.Time) { c.open(now.Add(MinOpen)) }

// AllowProbe makes an open circuit half-open at once, as after a success elsewhere. It stays open for a slow endpoint and
// during a Retry-After hold.
func (c *Circuit) AllowProbe() {
	if c.isFailing() && c.consecutiveSlow == 0 && c.retryAfter.IsZero() {
		c.openUntil, c.goneUntil = time.Time{}, time.Time{}
	}
}

func (c *Circuit) open(until time.Time) {
	if until.After(c.openUntil) {
		c.openUntil = until
	}
}

// observeSlow opens the circuit after an attempt that took longer than an endpoint may.
func (c *Circuit) observeSlow(now time.Time) {
	if now.Before(c.openUntil) && c.consecutiveSlow > 0 {
		return // the attempt was under way together with the one that opened the circuit
	}
	c.consecutiveSlow++
	c.openForSlow(now)
}

// openForSlow opens the circuit of a slow endpoint from now on, for longer each time in a row.
func (c *Circuit) openForSlow(now time.Time) {
	if c.consecutiveSlow == 0 {
		return // another attempt has been answered in time since
	}
	c.open(now.Add(circuitBackoff(c.consecutiveSlow-1, maxSlowOpen)))
}

// observeDuration updates the circuit after an attempt has ended. wasSlow says that observeSlow knows of it.
func (c *Circuit) observeDuration(slow, wasSlow bool, now time.Time) {
	switch {
	case slow && !wasSlow:
		c.observeSlow(now)
	case slow:
		c.openForSlow(now) // the endpoint was busy until now
	default:
		c.consecutiveSlow = 0
	}
}

// observeResult updates the circuit after a result, once observeDuration has.
func (c *Circuit) observeResult(result Result, now time.Time) {
	if result.Succeeded {
		c.consecutiveFailures = 0
		if c.consecutiveSlow == 0 && c.retryAfter.IsZero() {
			c.openUntil = time.Time{} // a 410 stands: the attempt that succeeded is from before
		}
		return
	}
	c.consecutiveFailures++
	switch {
	case !result.RetryAfter.IsZero():
		c.Hold(retry.BoundRetryAfter(result.RetryAfter, now))
	case result.Gone:
		c.consecutiveFailures = max(c.consecutiveFailures, FailuresToOpen)
		c.goneUntil = now.Add(GoneFor)
		c.open(c.goneUntil)
	case c.isFailing():
		c.open(now.Add(circuitBackoff(c.consecutiveFailures-FailuresToOpen, MaxOpen)))
	}
}

// circuitBackoff is MinOpen, doubled so many times, within a bound.
func circuitBackoff(doublings int, limit time.Duration) time.Duration {
	return min(MinOpen<<min(doublings, 8), limit)
}
