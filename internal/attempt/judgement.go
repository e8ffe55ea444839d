// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// judgement is how endpoints are judged: by times of the clock.
type judgement struct {
	base  time.Time // the start of the runner
	rules endpoint.Rules
}

// clock is the time of the clock at a time since the start.
func (j *judgement) clock(now time.Duration) time.Time { return j.base.Add(now) }
