// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// attemptLogBytes bounds status.attemptLog, measured as JSON.
const attemptLogBytes = 4 << 10

// attemptLogEntry turns an outcome into an entry of the attempt log.
func attemptLogEntry(outcome attempt.Outcome) v1alpha1.Attempt {
	var primary v1alpha1.SigningKey
	var revision string
	if note, ok := outcome.Note.(attemptNote); ok {
		primary, revision = note.primary, note.revision
	}
	return attemptlog.NewEntry(outcome.Number, &outcome.Result, primary, revision)
}

// appendAttemptLog adds an attempt and drops the oldest until the log fits.
func appendAttemptLog(log []v1alpha1.Attempt, entry v1alpha1.Attempt) []v1alpha1.Attempt {
	log = append(slices.Clone(log), entry)
	size := 0
	for i, one := range slices.Backward(log) {
		entry, _ := json.Marshal(one)
		if size += len(entry) + 1; size > attemptLogBytes || len(log)-i > 32 {
			return log[i+1:]
		}
	}
	return log
}

// boundFirstAttempt brings a claimed first attempt within bounds: a delivery created by
// hand can claim anything, and the API server would refuse such a status for ever.
func boundFirstAttempt(first v1alpha1.Attempt, now time.Time) v1alpha1.Attempt {
	first = attemptlog.BoundEntry(first, now)
	first.Number = 1
	return first
}

// isInAttemptLog reports whether the attempt log has this very outcome, and not one of
// another process with the same number.
func isInAttemptLog(s *deliveryScope) bool {
	log := s.delivery.Status.AttemptLog
	if len(log) == 0 {
		return false
	}
	entry := attemptLogEntry(*s.outcome)
	return log[len(log)-1].Number == entry.Number && log[len(log)-1].StartTime.Equal(&entry.StartTime)
}
