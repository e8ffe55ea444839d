// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"net/netip"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// Request is one attempt to be made now.
type Request struct {
	// DeliveryID is sent as X-BBMCP-Delivery, the same on every attempt.
	DeliveryID string
	// EventID is sent as webhook-id, the same on every attempt.
	EventID string
	// EventType is sent as X-BBMCP-Event.
	EventType string
	// Attempt is the number of this attempt, from 1, sent as X-BBMCP-Attempt.
	Attempt int
	// URL is the endpoint: https, or http where the dispatcher allows it.
	URL string
	// Payload is the body, byte for byte what is signed. It must not change
	// until Send returns.
	Payload []byte
	// Keys sign the attempt.
	Keys signature.Keys
	// Timeout bounds the whole attempt: name lookup, connect, TLS, request and
	// answer. It must be more than 0 and at most MaxTimeout.
	Timeout time.Duration
	// Test marks a test event with X-BBMCP-Test.
	Test bool
	// Forbidden are addresses that this attempt must not reach whatever the
	// dispatcher's flags allow: those of the API server.
	Forbidden []netip.Prefix
	// TraceParent is sent as traceparent (W3C Trace Context) unless empty.
	TraceParent string
	// Trace is for the caller's own traces; the dispatcher never sees it.
	Trace Trace
}

// Trace is what a caller's span of an attempt says beside the attempt.
type Trace struct {
	// Parent is the traceparent of the event that is delivered; may be empty.
	Parent string
	// Wanted says that the endpoint is to get a traceparent: this one, unless the
	// caller sets TraceParent to one of its own.
	Wanted bool
	// Namespace and Webhook name the webhook.
	Namespace, Webhook string
}

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

// Limits of what Request and Result carry.
const (
	// MaxTimeout is the longest Timeout of a Request.
	MaxTimeout = 30 * time.Second
	// MaxPayloadBytes is the largest Payload of a Request.
	MaxPayloadBytes = 256 << 10
	// MaxMessageBytes bounds Result.Message.
	MaxMessageBytes = 256
	// MaxSnippetBytes bounds Result.Snippet.
	MaxSnippetBytes = 256
)
