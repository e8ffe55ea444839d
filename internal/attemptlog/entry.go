// SPDX-License-Identifier: Apache-2.0

package attemptlog

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// maxTextBytes is the most that an entry holds of a message or an answer.
const maxTextBytes = 256

// NewEntry is the attempt of this number. primary is the secret that signed its
// X-BBMCP-Signature while a rotation overlapped, else ""; revision is that of the
// endpoint that it went to.
func NewEntry(number int, result *dispatcher.Result, primary v1alpha1.SigningKey, revision string) v1alpha1.Attempt {
	made := v1alpha1.Attempt{
		Number:               int32(number), //nolint:gosec // G115: at most 20 and one for each retry by hand
		StartTime:            metav1.NewMicroTime(result.StartedAt.UTC().Truncate(time.Microsecond)),
		DurationMilliseconds: result.Duration.Milliseconds(),
		Reason:               string(result.Reason),
		Message:              text.Truncate(result.Message, maxTextBytes),
		Answer:               text.Truncate(result.Snippet, maxTextBytes),
		Primary:              primary,
		EndpointRevision:     revision,
	}
	if result.StatusCode >= 100 && result.StatusCode <= 999 {
		made.ResponseStatus = new(int32(result.StatusCode))
	}
	if ended := result.StartedAt.Add(result.Duration); result.RetryAfter.After(ended) {
		made.RetryAfterTime = new(entryTime(retry.BoundRetryAfter(result.RetryAfter, ended)))
	}
	return made
}

// BoundEntry is an attempt as it is believed at a time: deliveries can be made by
// hand, with anything in them. It did not start later than now, took no longer
// than an attempt can, and no endpoint asks for more than an hour.
func BoundEntry(made v1alpha1.Attempt, now time.Time) v1alpha1.Attempt {
	made.DurationMilliseconds = min(max(made.DurationMilliseconds, 0), dispatcher.MaxTimeout.Milliseconds())
	if made.StartTime.After(now) || made.StartTime.IsZero() { // or the other clock is ahead; zero would be written as null
		made.StartTime = entryTime(now)
	}
	if made.RetryAfterTime.IsZero() {
		made.RetryAfterTime = nil
	} else if end := retry.BoundRetryAfter(made.RetryAfterTime.Time, now); !end.Equal(made.RetryAfterTime.Time) {
		made.RetryAfterTime = new(entryTime(end))
	}
	return made
}

// EntryEnd is when an attempt ended.
func EntryEnd(made *v1alpha1.Attempt) time.Time {
	return made.StartTime.Add(time.Duration(made.DurationMilliseconds) * time.Millisecond)
}

// IsEntryOf reports whether an attempt went to the endpoint of this revision. Where it
// does not say, it did so unless it started before the webhook was last enabled,
// as a change of endpoint does.
func IsEntryOf(made *v1alpha1.Attempt, revision string, enabled *metav1.MicroTime) bool {
	if made.EndpointRevision != "" {
		return made.EndpointRevision == revision
	}
	return enabled == nil || !made.StartTime.Before(enabled)
}

func entryTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}
