// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// failure is a typed error of the pipeline, which knows no HTTP. problemFromError turns it into a problem.
type failure interface {
	error
	// class says what a publisher can do about the failure.
	class() failureClass
	// reasonName is the reason of the problem, from a closed set.
	reasonName() string
}

// failureClass says what a publisher can do about an event that was not published.
type failureClass int

const (
	// failurePermanent: the same event will never be accepted.
	failurePermanent failureClass = iota
	// failureConflict: something else is in the way.
	failureConflict
	// failureLater: a quota, budget or policy may admit the event later.
	failureLater
	// failurePlatform: the platform failed; nothing is known of what was stored.
	failurePlatform
)

// classOf returns the class of an error; one that is no failure is a bug, and so the platform's.
func classOf(err error) failureClass {
	if f, ok := errors.AsType[failure](err); ok {
		return f.class()
	}
	if refused, ok := errors.AsType[*store.QuotaError](err); ok {
		if refused.Reason == store.QuotaExceedsLimits {
			return failurePermanent
		}
		return failureLater
	}
	return failurePlatform
}

// reasonOf returns the reason of an error: "" for nil, reasonInternal for one that is no failure.
func reasonOf(err error) string {
	if f, ok := errors.AsType[failure](err); ok {
		return f.reasonName()
	}
	if refused, ok := errors.AsType[*store.QuotaError](err); ok {
		return refused.Reason
	}
	if _, ok := errors.AsType[*store.StaleError](err); ok {
		return reasonUnavailable
	}
	if err != nil {
		return reasonInternal
	}
	return ""
}

// publishError is a failure of an event whose id, and whose deliveries so far, its publisher should know.
type publishError struct {
	cause      error
	eventID    string
	deliveries []*store.DeliveryEntry
}

func (e *publishError) Error() string { return e.cause.Error() }
func (e *publishError) Unwrap() error { return e.cause }

// eventError refuses an event for what it says.
type eventError struct {
	reason string
	field  string // "": about no field
	detail string
}

func (e *eventError) Error() string       { return e.detail }
func (e *eventError) class() failureClass { return failurePermanent }
func (e *eventError) reasonName() string  { return e.reason }

// payloadError refuses an event whose payload cannot be built; fields are the publisher's names for our fields.
type payloadError struct {
	cause  *payload.Error
	fields map[string]string
}

func (e *payloadError) Error() string       { return e.cause.Error() }
func (e *payloadError) Unwrap() error       { return e.cause }
func (e *payloadError) class() failureClass { return failurePermanent }
func (e *payloadError) reasonName() string  { return string(e.cause.Reason) }

// eventIDTakenError refuses an event whose id belongs to something else.
type eventIDTakenError struct{ eventID string }

func (e *eventIDTakenError) Error() string {
	return fmt.Sprintf("event id %s is taken", e.eventID)
}
func (e *eventIDTakenError) class() failureClass { return failureConflict }
func (e *eventIDTakenError) reasonName() string  { return reasonEventIDTaken }

// budgetError refuses an event until the write budget of its namespace has recovered.
type budgetError struct {
	detail string
	wait   time.Duration
}

func (e *budgetError) Error() string       { return e.detail }
func (e *budgetError) class() failureClass { return failureLater }
func (e *budgetError) reasonName() string  { return reasonTooManyRequests }

// terminatingError refuses an event for a namespace that is being deleted.
type terminatingError struct{}

func (terminatingError) Error() string       { return "the namespace is being deleted" }
func (terminatingError) class() failureClass { return failureConflict }
func (terminatingError) reasonName() string  { return reasonNamespaceTerminating }

// unavailableError says that the platform failed; doing completes "… is not possible".
type unavailableError struct {
	doing string
	cause error
}

func (e *unavailableError) Error() string       { return e.doing + ": " + e.cause.Error() }
func (e *unavailableError) Unwrap() error       { return e.cause }
func (e *unavailableError) class() failureClass { return failurePlatform }
func (e *unavailableError) reasonName() string  { return reasonUnavailable }

// createError is the API server's error to the create of a delivery, made with the gateway's own rights.
type createError struct{ cause error }

func (e *createError) Error() string { return storingDeliveries + ": " + e.cause.Error() }
func (e *createError) Unwrap() error { return e.cause }

func (e *createError) class() failureClass {
	switch e.reasonName() {
	case reasonQuotaExceeded, reasonTooManyRequests:
		return failureLater
	case reasonNamespaceTerminating:
		return failureConflict
	case reasonUnavailable:
		return failurePlatform
	}
	return failurePermanent
}

func (e *createError) reasonName() string {
	switch kind := denial.Of(e.cause); {
	case kind == denial.Quota:
		return reasonQuotaExceeded
	case kind == denial.Object:
		return reasonFieldInvalid
	case kind == denial.Policy && isTooManyRequests(e.cause):
		return reasonTooManyRequests
	case kind == denial.Policy && denial.IsLasting(e.cause):
		return reasonPolicyDenied
	case kind == denial.Namespace && apierrors.IsNotFound(e.cause):
		return reasonNotFound
	case kind == denial.Namespace:
		return reasonNamespaceTerminating
	}
	return reasonUnavailable
}

// Codes of the API server's answers.
const (
	codeNotFound        = 404
	codeConflict        = 409
	codeTooManyRequests = 429
	codeServerError     = 500 // and above
)

// isTooManyRequests reports whether a policy refused a write with 429, which may pass later.
func isTooManyRequests(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.Status().Code == codeTooManyRequests && !denial.IsLasting(err)
}
