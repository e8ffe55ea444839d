// SPDX-License-Identifier: Apache-2.0

package endpoint

import "time"

// The thresholds of the verdict, the same for every process.
const (
	// HealthyFor is how long a success counts as lately.
	HealthyFor = 10 * time.Minute
	// HangingFor is how long a timeout that another process saw counts.
	HangingFor = 2 * time.Minute
	// FailuresToOpen is how many consecutive failures open the circuit.
	FailuresToOpen = 3
	// MinOpen and MaxOpen bound for how long consecutive failures open the circuit: twice as long each time.
	MinOpen = time.Second
	MaxOpen = 30 * time.Second
	// maxSlowOpen bounds for how long slow attempts open it, from MinOpen on: the first one may be a hiccup of the whole
	// machine.
	maxSlowOpen = 2 * time.Minute
	// GoneFor is for how long the answer 410 opens it: time for the controller to write the outcome and to disable the
	// webhook.
	GoneFor = MaxOpen
	// timeoutsToHang is how many consecutive timeouts make an endpoint hanging.
	timeoutsToHang = 2
	// successesToForgive is how many quick successes clear a timeout.
	successesToForgive = 3
	// latencyWeight is that of past answers in the latency average against the latest one, plus one.
	latencyWeight = 4
	// promptDivisor is the part of Rules.SlowAfter within which a prompt endpoint usually answers.
	promptDivisor = 4
)

// Rules are what differs between processes: a first attempt has a publisher that waits for it, a retry has a queue.
type Rules struct {
	// PerWebhook is how many attempts of one webhook may be under way.
	PerWebhook int
	// Initial is how many of an unproven endpoint, if Ramp is not set.
	Initial int
	// Ramp lets one attempt start first, one more with each success of an attempt during which the limit was reached, and
	// fewer with failures. Without it a success opens all slots of the webhook.
	Ramp bool
	// SlowAfter is how long an attempt may take before it counts as slow.
	SlowAfter time.Duration
	// OpenIfSlow opens the circuit after a slow attempt, where a publisher waits for answers.
	OpenIfSlow bool
}
