// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"net/http"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// problemFromError turns every error of the pipeline, the indexes and package auth into a problem; an unknown error is
// a bug.
func problemFromError(err error) *problem {
	if e, ok := errors.AsType[*publishError](err); ok {
		p := problemFromError(e.cause)
		p.EventID, p.Deliveries = e.eventID, presentPublishedDeliveries(e.deliveries)
		return p
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if p := problemFromAuth(err); p != nil {
		return p
	}
	if p := problemFromStore(err); p != nil {
		return p
	}
	f, ok := errors.AsType[failure](err)
	if !ok {
		return internalProblem(err)
	}
	switch e := f.(type) {
	case *eventError:
		return problemFromEvent(e)
	case *payloadError:
		return payloadProblem(e.cause, e.fields)
	case *eventIDTakenError:
		return newFieldProblem(http.StatusConflict, reasonEventIDTaken, "id", fmt.Sprintf(
			"%s stands for another event already: event, data, or the timestamp differ, or an object of somebody else has its name; publish this one with another id", e.eventID))
	case *budgetError:
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, e.detail+"; repeat this later").setRetryAfter(e.wait)
	case terminatingError:
		return namespaceTerminating()
	case *unavailableError:
		return unavailable(e.doing, e.cause)
	case *createError:
		return problemFromCreate(e.cause)
	}
	return internalProblem(err)
}

// problemFromStore makes the problem of an error of the indexes; nil: it is another one.
func problemFromStore(err error) *problem {
	if e, ok := errors.AsType[*store.QuotaError](err); ok {
		if e.Reason == store.QuotaExceedsLimits {
			return newProblem(http.StatusUnprocessableEntity, e.Reason, e.Detail)
		}
		return newProblem(http.StatusTooManyRequests, e.Reason, e.Detail+"; repeat this later").setRetryAfter(retryFull)
	}
	if e, ok := errors.AsType[*store.StaleError](err); ok {
		return unavailable("this", e.Cause)
	}
	return nil
}

func problemFromEvent(e *eventError) *problem {
	status := http.StatusUnprocessableEntity
	if e.reason == reasonNotFound {
		status = http.StatusNotFound
	}
	if e.field == "" {
		return newProblem(status, e.reason, e.detail)
	}
	return newFieldProblem(status, e.reason, e.field, e.detail)
}

// problemFromCreate makes a problem of the API server's error to the create of a delivery, made with the gateway's own
// rights.
func problemFromCreate(err error) *problem {
	switch denial.Of(err) {
	case denial.Quota:
		return newProblem(http.StatusTooManyRequests, reasonQuotaExceeded, "a ResourceQuota of the namespace allows no more deliveries: "+denialText(err)).setRetryAfter(retryFull)
	case denial.Object:
		return newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, storingDeliveries+" is refused: "+denialText(err))
	}
	if p := problemFromDenial(err, storingDeliveries); p != nil {
		return p
	}
	return unavailable(storingDeliveries, err)
}

func namespaceTerminating() *problem {
	return newProblem(http.StatusConflict, reasonNamespaceTerminating, "the namespace is being deleted; nothing new is stored in it any more")
}

// class implements failure, for the problems that requests and rights still make themselves.
func (p *problem) class() failureClass {
	switch {
	case p.Status >= http.StatusInternalServerError:
		return failurePlatform
	case p.Status == http.StatusTooManyRequests:
		return failureLater
	case p.Status == http.StatusConflict:
		return failureConflict
	}
	return failurePermanent
}

// reasonName implements failure.
func (p *problem) reasonName() string { return p.Reason }
