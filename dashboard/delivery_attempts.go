// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// attemptRow is an attempt, compared with the policy.
type attemptRow struct {
	rest.Attempt

	Due    *time.Time // nil: not known, because the attempts before it are not
	ByHand bool       // earlier than the policy says, or after its end
	Late   time.Duration
}

// attemptRows compares each attempt with the time that the policy schedules.
func attemptRows(delivery *Delivery, delays []time.Duration) []attemptRow {
	rows := make([]attemptRow, 0, len(delivery.AttemptLog))
	for i, attempt := range delivery.AttemptLog {
		row := attemptRow{Attempt: attempt}
		switch {
		case attempt.Number == 1:
			row.Due = &delivery.CreatedAt
		case attempt.Number-2 >= len(delays):
			row.ByHand = true // the policy has no such attempt
		case i > 0 && delivery.AttemptLog[i-1].Number == attempt.Number-1:
			row.Due = nextAttemptDue(delivery.AttemptLog[i-1], delays)
		}
		if row.Due != nil {
			row.Late = attempt.StartedAt.Sub(*row.Due)
			if row.Late < -time.Second && attempt.Number > 1 {
				row.ByHand = true
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// nextAttemptDue is the time at which the policy schedules the attempt after the given one.
func nextAttemptDue(attempt rest.Attempt, delays []time.Duration) *time.Time {
	var retryAfter time.Time
	if attempt.RetryAfter != nil {
		retryAfter = *attempt.RetryAfter
	}
	ended := attempt.StartedAt.Add(time.Duration(attempt.DurationMS) * time.Millisecond)
	due, _ := retry.Policy{Delays: delays}.NextAttempt(attempt.Number, ended, retryAfter, 0)
	return &due
}

// scheduledAttempt is an attempt that a policy schedules.
type scheduledAttempt struct {
	Number  int
	Delay   time.Duration // after the attempt before
	Elapsed time.Duration // since the event, without the attempts' own time
	Timeout time.Duration
}

func scheduledAttempts(delays []time.Duration, timeout time.Duration) []scheduledAttempt {
	steps := []scheduledAttempt{{Number: 1, Timeout: timeout}}
	elapsed := time.Duration(0)
	for i, delay := range delays {
		elapsed += delay
		steps = append(steps, scheduledAttempt{Number: i + 2, Delay: delay, Elapsed: elapsed, Timeout: timeout})
	}
	return steps
}
