// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"net/http"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// problemFromError turns every error of packages publish, store and auth into a problem; an unknown error is
// a bug.
func problemFromError(err error) *problem {
	if e, ok := errors.AsType[*publish.Error](err); ok {
		p := problemFromError(e.Cause)
		p.EventID, p.Deliveries = e.EventID, presentPublishedDeliveries(e.Deliveries)
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
	f, ok := errors.AsType[publish.Failure](err)
	if !ok {
		return internalProblem(err)
	}
	switch e := f.(type) {
	case *publish.EventError:
		return problemFromEvent(e)
	case *publish.PayloadError:
		return payloadProblem(e.Cause, e.Fields)
	case *publish.EventIDTakenError:
		return newFieldProblem(http.StatusConflict, reasonEventIDTaken, "id", fmt.Sprintf(
			"%s stands for another event already: event, data, or the timestamp differ, or an object of somebody else has its name; publish this one with another id", e.EventID))
	case *publish.BudgetError:
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, e.Detail+"; repeat this later").setRetryAfter(e.Wait)
	case publish.TerminatingError:
		return namespaceTerminating()
	case *publish.UnavailableError:
		return unavailable(e.Doing, e.Cause)
	case *publish.CreateError:
		return problemFromCreate(e.Cause)
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

func problemFromEvent(e *publish.EventError) *problem {
	status := http.StatusUnprocessableEntity
	if e.Reason == reasonNotFound {
		status = http.StatusNotFound
	}
	if e.Field == "" {
		return newProblem(status, e.Reason, e.Detail)
	}
	return newFieldProblem(status, e.Reason, e.Field, e.Detail)
}

// problemFromCreate makes a problem of the API server's error to the create of a delivery, made with the gateway's own
// rights.
func problemFromCreate(err error) *problem {
	switch denial.KindOf(err) {
	case denial.Quota:
		return newProblem(http.StatusTooManyRequests, reasonQuotaExceeded, "a ResourceQuota of the namespace allows no more deliveries: "+denialText(err)).setRetryAfter(retryFull)
	case denial.Object:
		return newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, publish.StoringDeliveries+" is refused: "+denialText(err))
	}
	if p := problemFromDenial(err, publish.StoringDeliveries); p != nil {
		return p
	}
	return unavailable(publish.StoringDeliveries, err)
}

func namespaceTerminating() *problem {
	return newProblem(http.StatusConflict, reasonNamespaceTerminating, "the namespace is being deleted; nothing new is stored in it any more")
}

// Class implements failure, for the problems that requests and rights still make themselves.
func (p *problem) Class() publish.FailureClass {
	switch {
	case p.Status >= http.StatusInternalServerError:
		return publish.FailurePlatform
	case p.Status == http.StatusTooManyRequests:
		return publish.FailureLater
	case p.Status == http.StatusConflict:
		return publish.FailureConflict
	}
	return publish.FailurePermanent
}

// ReasonName implements failure.
func (p *problem) ReasonName() string { return p.Reason }
