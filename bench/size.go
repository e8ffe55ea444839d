// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// size is how much of everything a run does. Durations are those of one
// repetition, without its setting up.
type size struct {
	name   string
	rounds int
	warmup time.Duration

	ceilingPhase, ceilingCycle time.Duration
	durableRounds              int
	durableWarmup, durable     time.Duration
	forwarder, inline          time.Duration
	// inlineWarmup is as long as a webhook's burst of records takes to be written.
	inlineWarmup time.Duration
	latency      time.Duration

	isolationRounds                 int
	paced, burst                    time.Duration
	hanging, slow, healthy, pending int

	backlogSmall, backlogLarge int
	backlogRun                 time.Duration

	outageBefore, outage time.Duration
	crash, away          time.Duration
	soak                 time.Duration

	// timeoutDivisor shortens what a unit may take.
	timeoutDivisor int
}

func (s size) timeout(full time.Duration) time.Duration {
	return full / time.Duration(s.timeoutDivisor)
}

// sizes are by the name of the flag. Full takes 23 to 25 minutes on two cores.
func sizes() map[string]size {
	return map[string]size{
		"full": {
			name: "full", rounds: 3, warmup: 3 * time.Second,
			ceilingPhase: 2 * time.Second, ceilingCycle: 5 * time.Second, durableRounds: 2, durableWarmup: 5 * time.Second, durable: 12 * time.Second,
			forwarder: 4 * time.Second, inline: 6 * time.Second, inlineWarmup: 12 * time.Second,
			latency:         8 * time.Second,
			isolationRounds: 2, paced: 8 * time.Second, burst: 6 * time.Second,
			hanging: 200, slow: 50, healthy: 10, pending: 6000,
			backlogSmall: 100_000, backlogLarge: 2_000, backlogRun: 5 * time.Second,
			outageBefore: 15 * time.Second, outage: time.Minute,
			crash: time.Minute, away: 30 * time.Second,
			soak: 10 * time.Minute, timeoutDivisor: 1,
		},
		"short": {
			name: "short", rounds: 1, warmup: 3 * time.Second,
			ceilingPhase: time.Second, ceilingCycle: 3 * time.Second, durableRounds: 1, durableWarmup: 5 * time.Second, durable: 6 * time.Second,
			forwarder: 3 * time.Second, inline: 5 * time.Second, inlineWarmup: 12 * time.Second,
			latency:         6 * time.Second,
			isolationRounds: 1, paced: 6 * time.Second, burst: 3 * time.Second,
			hanging: 100, slow: 20, healthy: 10, pending: 6000,
			backlogSmall: 10_000, backlogLarge: 100, backlogRun: 5 * time.Second,
			outageBefore: 6 * time.Second, outage: 15 * time.Second,
			crash: 20 * time.Second, away: 12 * time.Second,
			soak: time.Minute, timeoutDivisor: 1,
		},
		"tiny": {
			name: "tiny", rounds: 1, warmup: 300 * time.Millisecond,
			ceilingPhase: 200 * time.Millisecond, ceilingCycle: 500 * time.Millisecond, durableRounds: 1, durableWarmup: 300 * time.Millisecond, durable: time.Second,
			forwarder: time.Second, inline: time.Second, inlineWarmup: 300 * time.Millisecond,
			latency:         time.Second,
			isolationRounds: 1, paced: time.Second, burst: time.Second,
			hanging: 4, slow: 2, healthy: 2, pending: 40,
			backlogSmall: 200, backlogLarge: 4, backlogRun: 2 * time.Second,
			outageBefore: time.Second, outage: 2 * time.Second,
			crash: 3 * time.Second, away: 2 * time.Second,
			soak: 5 * time.Second, timeoutDivisor: 2,
		},
	}
}
