// SPDX-License-Identifier: Apache-2.0

package attemptlog

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// Bounded is an attempt as it is believed at a time: deliveries can be made by
// hand, with anything in them. It did not start later than now, took no longer
// than an attempt can, and no endpoint asks for more than an hour.
func Bounded(made v1alpha1.Attempt, now time.Time) v1alpha1.Attempt {
	made.DurationMilliseconds = min(max(made.DurationMilliseconds, 0), dispatcher.MaxTimeout.Milliseconds())
	if made.StartTime.After(now) || made.StartTime.IsZero() { // or the other clock is ahead; zero would be written as null
		made.StartTime = microTime(now)
	}
	if made.RetryAfterTime.IsZero() {
		made.RetryAfterTime = nil
	} else if end := retry.BoundRetryAfter(made.RetryAfterTime.Time, now); !end.Equal(made.RetryAfterTime.Time) {
		made.RetryAfterTime = new(microTime(end))
	}
	return made
}

// Ended is when an attempt ended.
func Ended(made *v1alpha1.Attempt) time.Time {
	return made.StartTime.Add(time.Duration(made.DurationMilliseconds) * time.Millisecond)
}

// IsOf reports whether an attempt went to the endpoint of this revision. Where it
// does not say, it did so unless it started before the webhook was last enabled,
// as a change of endpoint does.
func IsOf(made *v1alpha1.Attempt, revision string, enabled *metav1.MicroTime) bool {
	if made.EndpointRevision != "" {
		return made.EndpointRevision == revision
	}
	return enabled == nil || !made.StartTime.Before(enabled)
}

func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}
