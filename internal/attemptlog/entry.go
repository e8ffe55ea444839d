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

// Entry is the attempt of this number. primary is the secret that signed its
// X-BBMCP-Signature while a rotation overlapped, else ""; revision is that of the
// endpoint that it went to.
func Entry(number int, result *dispatcher.Result, primary v1alpha1.SigningKey, revision string) v1alpha1.Attempt {
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
		made.RetryAfterTime = new(microTime(retry.BoundRetryAfter(result.RetryAfter, ended)))
	}
	return made
}
