// SPDX-License-Identifier: Apache-2.0

package backlog

import "time"

const (
	// MaxUntrimmed is how many entries after the oldest unsettled one may be started,
	// and so about how many go out again after a crash.
	MaxUntrimmed = 2048
	// maxBehindWaiting is how many settled entries may lie behind one that is not due
	// before it is moved to the end of the lot.
	maxBehindWaiting = MaxUntrimmed / 2

	// trimAfter settled entries in a row, or trimInterval, the log is trimmed.
	trimAfter    = 256
	trimInterval = 5 * time.Second

	// FirstProbe is how long after a lot was parked it is probed.
	FirstProbe = 5 * time.Second
	// MaxProbeInterval is the longest time between probes, which grows by half with each
	// that fails.
	MaxProbeInterval = 30 * time.Second
	// probesPerEntry is how often an entry is a probe in one outage before the next one
	// is: the first may be one that the endpoint always refuses.
	probesPerEntry = 3

	// unansweredToPark attempts in a row without an answer, or with 429 or 503, park a
	// lot, and fewer than successesToDrain of the last recentResults.
	unansweredToPark = 5
	recentResults    = 20
	successesToDrain = 5

	// rampInterval is how long a ramp goes without a failure before it doubles, to
	// minRampTop at least.
	rampInterval = time.Second
	minRampTop   = 32

	// A failure after an outage is judged when judgedAfter more attempts have ended, or
	// after judgeWithin.
	judgedAfter = 3
	judgeWithin = 5 * time.Second
)
