// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

// settleWithin is how long deliveries may take to arrive after the last publish.
const settleWithin = 45 * time.Second

// lane is paths of a receiver that share events out among them: each event goes
// to one of them.
type lane []string

// lanesOf makes a lane of every path.
func lanesOf(paths ...string) []lane {
	var all []lane
	for _, path := range paths {
		all = append(all, lane{path})
	}
	return all
}

// received is how often each event came to a lane.
func (l lane) received(counts map[string][]byte) []byte {
	var sum []byte
	for _, path := range l {
		sum = append(sum, make([]byte, max(0, len(counts[path])-len(sum)))...)
		for i, n := range counts[path] {
			sum[i] += n
		}
	}
	return sum
}

// settleLanes waits until what was promised has arrived at every lane, and counts.
// What has not by then is missing; duplicates are those until then.
func settleLanes(ctx context.Context, from sink.ControlClient, run int, states []tally.State, lanes ...lane) (outcome tally.Outcome, err error) {
	deadline := time.Now().Add(settleWithin)
	for {
		counts, err := from.Counts(ctx, run)
		if err != nil {
			return outcome, err
		}
		outcome = tally.Outcome{}
		for _, one := range lanes {
			outcome = outcome.Add(tally.Compare(states, one.received(counts)))
		}
		if outcome.Missing == 0 || time.Now().After(deadline) {
			return outcome, nil
		}
		if err := pause(ctx, 2*pollEvery); err != nil {
			return outcome, err
		}
	}
}
