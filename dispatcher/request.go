// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

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

// maxHeaderValue bounds what callers put into headers, in bytes.
const maxHeaderValue = 256

var (
	errTimeout  = fmt.Errorf("the timeout is not more than 0 and at most %s", MaxTimeout)
	errAttempt  = errors.New("the attempt number is not at least 1")
	errPayload  = fmt.Errorf("the payload is empty or larger than %d bytes", MaxPayloadBytes)
	errDelivery = errors.New("the delivery id is not plain text of 1 to 256 characters")
	errEvent    = errors.New("the event id is not plain text of 1 to 256 characters")
	errType     = errors.New("the event type is not plain text of 1 to 256 characters")
	errTrace    = errors.New("the trace parent is not plain text of up to 256 characters")
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

// validateRequest checks what callers must get right.
func validateRequest(r *Request) error {
	switch {
	case r.Timeout <= 0 || r.Timeout > MaxTimeout:
		return errTimeout
	case r.Attempt < 1:
		return errAttempt
	case len(r.Payload) == 0 || len(r.Payload) > MaxPayloadBytes:
		return errPayload
	case r.DeliveryID == "" || !isRequestToken(r.DeliveryID):
		return errDelivery
	case r.EventID == "" || !isRequestToken(r.EventID):
		return errEvent
	case r.EventType == "" || !isRequestToken(r.EventType):
		return errType
	case !isRequestToken(r.TraceParent):
		return errTrace
	}
	return nil
}

// isRequestToken reports whether s is visible ASCII and not too long for a header.
func isRequestToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxHeaderValue
}
