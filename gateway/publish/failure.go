// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// Failure is a typed error of publishing. Package gateway turns it into a problem.
type Failure interface {
	error
	// class says what a publisher can do about the failure.
	Class() FailureClass
	// reasonName is the reason of the problem, from a closed set.
	ReasonName() string
}

// FailureClass says what a publisher can do about an event that was not published.
type FailureClass int

const (
	// FailurePermanent: the same event will never be accepted.
	FailurePermanent FailureClass = iota
	// FailureConflict: something else is in the way.
	FailureConflict
	// FailureLater: a quota, budget or policy may admit the event later.
	FailureLater
	// FailurePlatform: the platform failed; nothing is known of what was stored.
	FailurePlatform
)

// ClassOf returns the class of an error; one that is no failure is a bug, and so the platform's.
func ClassOf(err error) FailureClass {
	if f, ok := errors.AsType[Failure](err); ok {
		return f.Class()
	}
	if refused, ok := errors.AsType[*store.QuotaError](err); ok {
		if refused.Reason == store.QuotaExceedsLimits {
			return FailurePermanent
		}
		return FailureLater
	}
	return FailurePlatform
}

// ReasonOf returns the reason of an error: "" for nil, reasonInternal for one that is no failure.
func ReasonOf(err error) string {
	if f, ok := errors.AsType[Failure](err); ok {
		return f.ReasonName()
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

// IncompleteError is a failure of an event whose id, and whose deliveries so far, its publisher should know.
type IncompleteError struct {
	Cause      error
	EventID    string
	Deliveries []*store.DeliveryEntry
}

// Error implements error.
func (e *IncompleteError) Error() string { return e.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *IncompleteError) Unwrap() error { return e.Cause }

// EventError refuses an event for what it says.
type EventError struct {
	Reason string
	Field  string // "": about no field
	Detail string
}

// Error implements error.
func (e *EventError) Error() string { return e.Detail }

// Class implements Failure.
func (e *EventError) Class() FailureClass { return FailurePermanent }

// ReasonName implements Failure.
func (e *EventError) ReasonName() string { return e.Reason }

// PayloadError refuses an event whose payload cannot be built; fields are the publisher's names for our fields.
type PayloadError struct {
	Cause  *payload.Error
	Fields map[string]string
}

// Error implements error.
func (e *PayloadError) Error() string { return e.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *PayloadError) Unwrap() error { return e.Cause }

// Class implements Failure.
func (e *PayloadError) Class() FailureClass { return FailurePermanent }

// ReasonName implements Failure.
func (e *PayloadError) ReasonName() string { return string(e.Cause.Reason) }

// EventIDTakenError refuses an event whose id belongs to something else.
type EventIDTakenError struct{ EventID string }

// Error implements error.
func (e *EventIDTakenError) Error() string {
	return fmt.Sprintf("event id %s is taken", e.EventID)
}

// Class implements Failure.
func (e *EventIDTakenError) Class() FailureClass { return FailureConflict }

// ReasonName implements Failure.
func (e *EventIDTakenError) ReasonName() string { return reasonEventIDTaken }

// BudgetError refuses an event until the write budget of its namespace has recovered.
type BudgetError struct {
	Detail string
	Wait   time.Duration
}

// Error implements error.
func (e *BudgetError) Error() string { return e.Detail }

// Class implements Failure.
func (e *BudgetError) Class() FailureClass { return FailureLater }

// ReasonName implements Failure.
func (e *BudgetError) ReasonName() string { return reasonTooManyRequests }

// TerminatingError refuses an event for a namespace that is being deleted.
type TerminatingError struct{}

// Error implements error.
func (TerminatingError) Error() string { return "the namespace is being deleted" }

// Class implements Failure.
func (TerminatingError) Class() FailureClass { return FailureConflict }

// ReasonName implements Failure.
func (TerminatingError) ReasonName() string { return reasonNamespaceTerminating }

// UnavailableError says that the platform failed; doing completes "… is not possible".
type UnavailableError struct {
	Doing string
	Cause error
}

// Error implements error.
func (e *UnavailableError) Error() string { return e.Doing + ": " + e.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Class implements Failure.
func (e *UnavailableError) Class() FailureClass { return FailurePlatform }

// ReasonName implements Failure.
func (e *UnavailableError) ReasonName() string { return reasonUnavailable }

// CreateError is the API server's error to the create of a delivery, made with the gateway's own rights.
type CreateError struct {
	Cause    error
	unstored bool // it is known that nothing was stored
}

// Error implements error.
func (e *CreateError) Error() string { return StoringDeliveries + ": " + e.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *CreateError) Unwrap() error { return e.Cause }

// Class implements Failure.
func (e *CreateError) Class() FailureClass {
	switch e.ReasonName() {
	case reasonQuotaExceeded, reasonTooManyRequests:
		return FailureLater
	case reasonNamespaceTerminating:
		return FailureConflict
	case reasonUnavailable:
		return FailurePlatform
	}
	return FailurePermanent
}

// ReasonName implements Failure.
func (e *CreateError) ReasonName() string {
	switch kind := denial.KindOf(e.Cause); {
	case kind == denial.Quota:
		return reasonQuotaExceeded
	case kind == denial.Object:
		return reasonFieldInvalid
	case kind == denial.Policy && isTooManyRequests(e.Cause):
		return reasonTooManyRequests
	case kind == denial.Policy && denial.IsLasting(e.Cause):
		return reasonPolicyDenied
	case kind == denial.Namespace && apierrors.IsNotFound(e.Cause):
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

// isPermanentFailure reports whether publishing the event again later would fail as well.
func isPermanentFailure(err error) bool {
	class := ClassOf(err)
	return class == FailurePermanent || class == FailureConflict
}
