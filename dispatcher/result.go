// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// Result is what came of one attempt.
type Result struct {
	// StartedAt is when the dispatcher began, by its clock.
	StartedAt time.Time `json:"startedAt"`
	// Duration is how long the attempt took.
	Duration time.Duration `json:"duration,omitzero"`
	// StatusCode is the status of the endpoint's answer; 0 if none came. It can
	// be set beside a Reason that is not about the status, as when the answer's
	// body never ended.
	StatusCode int `json:"statusCode,omitzero"`
	// Reason says why the attempt failed; ReasonNone if it succeeded.
	Reason Reason `json:"reason,omitzero"`
	// Message is one sentence for people, at most MaxMessageBytes of printable
	// text, the same each time the same thing happens.
	Message string `json:"message,omitzero"`
	// Snippet is the beginning of the answer's body, at most MaxSnippetBytes of
	// printable text; empty where the dispatcher must not show it.
	Snippet string `json:"snippet,omitzero"`
	// RetryAfter is when the endpoint asked to be tried again, with 429 or 503;
	// zero if it did not. It is at most one hour after the attempt ended.
	RetryAfter time.Time `json:"retryAfter,omitzero"`
	// CertificateNotAfter is when the endpoint's certificate expires; zero
	// unless TLS got as far as showing one.
	CertificateNotAfter time.Time `json:"certificateNotAfter,omitzero"`
	// Timings are the parts of Duration.
	Timings Timings `json:"timings,omitzero"`
}

// Timings are the parts of an attempt. A part that did not happen, as on a
// connection that was open already, is 0.
type Timings struct {
	DNS       time.Duration `json:"dns,omitzero"`
	Connect   time.Duration `json:"connect,omitzero"`
	TLS       time.Duration `json:"tls,omitzero"`
	FirstByte time.Duration `json:"firstByte,omitzero"` // from the request written to the answer's first byte
}

// Succeeded reports whether the endpoint took the delivery: a 2xx answer that
// arrived whole and in time.
func (r Result) Succeeded() bool {
	return r.Reason == ReasonNone && r.StatusCode >= 200 && r.StatusCode <= 299
}

// Evidence is what the result says about the endpoint.
func (r Result) Evidence() endpoint.Result {
	timedOut := r.Reason == ReasonTimeout
	return endpoint.Result{
		Succeeded: r.Succeeded(), Answered: r.StatusCode != 0 && !timedOut, TimedOut: timedOut, Gone: r.Reason == ReasonGone,
		RetryAfter: r.RetryAfter,
	}
}

// fail notes a failure, or success for the zero failure.
func (r *Result) fail(f failure) {
	r.Reason, r.Message = f.reason, text.Truncate(f.message, MaxMessageBytes)
}

// notSentResult is the result of a request that cannot be an attempt.
func notSentResult(err error) Result {
	result := Result{StartedAt: time.Now()}
	result.fail(requestFailure(err))
	return result
}
