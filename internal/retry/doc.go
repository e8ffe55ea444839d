// SPDX-License-Identifier: Apache-2.0

// Package retry says when the next attempt of a delivery is due: the policy of
// a webhook, the jitter on it, and what the endpoint asked for by Retry-After.
//
// It is pure: it never reads a clock, never draws a random number and never
// waits; the time is an argument. It imports the standard library only, and
// every package of this module may import it.
package retry
