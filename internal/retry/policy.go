// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Limits of a policy, which the API server holds a Webhook to.
const (
	// MaxDelay is the longest wait before one attempt, without jitter.
	MaxDelay = 24 * time.Hour
	// MaxTimeout is the longest that one attempt may take.
	MaxTimeout = 30 * time.Second
	// MaxRetryAfter is how far beyond the end of an attempt an endpoint can
	// push the next one by Retry-After.
	MaxRetryAfter = time.Hour
)

// Policy is how often and how patiently one delivery is attempted.
type Policy struct {
	// Delays are the waits before attempts 2 … n, each counted from the end of
	// the attempt before. Empty or nil means one attempt; whoever reads a
	// policy in which the delays are not set takes those of Default.
	Delays []time.Duration
	// Timeout covers one whole attempt: name lookup, connect, TLS, request and
	// response.
	Timeout time.Duration
	// JitterPercent lengthens each delay by up to this share of itself.
	JitterPercent int
}

// DefaultPolicy returns the policy of a webhook that sets none: five attempts with
// delays of 5 s, 15 s, 45 s and 2 min, 10 s each, no jitter.
func DefaultPolicy() Policy {
	return Policy{
		Delays:  []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute},
		Timeout: 10 * time.Second,
	}
}

// MaxAttempts returns how many attempts the policy schedules, the first one
// included. Attempts asked for by hand come on top.
func (p Policy) MaxAttempts() int { return len(p.Delays) + 1 }

// NextAttempt returns when the attempt after attempt is due. attempt counts
// from 1 and ended at the time given. ok is false when the policy schedules no
// further one.
//
// notBefore is what the endpoint asked for by Retry-After, or zero. It moves
// the attempt later, never earlier, and counts as at most MaxRetryAfter after
// ended. jitter, from 0 up to but without 1, scales the delay to
// delay × (1 + JitterPercent/100 × jitter): never less than the policy's own
// delay, so that no endpoint is called sooner than its owner wrote. Values
// outside that range count as the nearest one inside.
func (p Policy) NextAttempt(attempt int, ended, notBefore time.Time, jitter float64) (at time.Time, ok bool) {
	attempt = max(attempt, 1)
	if attempt > len(p.Delays) {
		return time.Time{}, false
	}
	delay := p.Delays[attempt-1]
	if p.JitterPercent > 0 && jitter > 0 {
		share := float64(p.JitterPercent) / 100 * min(jitter, 1)
		delay += time.Duration(float64(delay) * share)
	}
	at = ended.Add(delay)
	if notBefore = BoundRetryAfter(notBefore, ended); notBefore.After(at) {
		at = notBefore
	}
	return at, true
}

// Jitter returns a number from 0 up to but without 1 that depends on nothing
// but its arguments, the uid of a delivery and the attempt that ended. A
// process that restarts computes the same due time as the one before it.
func Jitter(uid string, attempt int) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", uid, attempt))
	const mantissaBits = 53
	return float64(binary.BigEndian.Uint64(sum[:8])>>(64-mantissaBits)) / (1 << mantissaBits)
}
