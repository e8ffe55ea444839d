// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// problemFromError turns every error of packages publish, store and auth into a problem; an unknown error is
// a bug.
func problemFromError(err error) *problem {
	if e, ok := errors.AsType[*publish.IncompleteError](err); ok {
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
		return problemFromPayloadError(e.Cause, e.Fields)
	case *publish.EventIDTakenError:
		return newFieldProblem(http.StatusConflict, reasonEventIDTaken, "id", fmt.Sprintf(
			"%s stands for another event already: event, data, or the timestamp differ, or an object of somebody else has its name; publish this one with another id", e.EventID))
	case *publish.BudgetError:
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, e.Detail+"; repeat this later").setRetryAfter(e.Wait)
	case publish.TerminatingError:
		return namespaceTerminatingProblem()
	case *publish.UnavailableError:
		return unavailableProblem(e.Doing, e.Cause)
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
		return unavailableProblem("this", e.Cause)
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
	return unavailableProblem(publish.StoringDeliveries, err)
}

// problemFromPayload makes a problem of an error in an event. fieldNames are the
// publisher's names of fields.
func problemFromPayload(err error, fieldNames map[string]string) error {
	found, ok := errors.AsType[*payload.Error](err)
	if !ok {
		return err
	}
	return problemFromPayloadError(found, fieldNames)
}

func problemFromPayloadError(found *payload.Error, fieldNames map[string]string) *problem {
	status := http.StatusUnprocessableEntity
	switch found.Reason {
	case payload.InvalidJSON, payload.TrailingData:
		status = http.StatusBadRequest
	case payload.TooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	field := found.Field
	if name, ok := fieldNames[field]; ok {
		field = name
	}
	return newFieldProblem(status, string(found.Reason), field, found.Detail)
}

// problemFromHuma makes a problem of a validation error of huma. The value at fault is
// never repeated: it may be a secret.
func problemFromHuma(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	if existing, ok := errors.AsType[*problem](errors.Join(errs...)); ok {
		return logHumaProblem(ctx, existing)
	}
	if status >= http.StatusInternalServerError {
		return logHumaProblem(ctx, internalProblem(errors.Join(errs...)))
	}
	p := newProblem(status, reasonFieldInvalid, message)
	if status == http.StatusBadRequest {
		p.Reason = reasonBodyInvalid
	}
	for _, err := range errs {
		detail, ok := errors.AsType[*huma.ErrorDetail](err)
		if !ok {
			p.addField("body", err.Error())
			continue
		}
		p.addField(problemField(detail.Location), detail.Message)
	}
	return logHumaProblem(ctx, p)
}

// problemField turns huma's location "body.url" into the member's name, "url".
func problemField(location string) string {
	if rest, ok := strings.CutPrefix(location, "body."); ok {
		return rest
	}
	if location == "" {
		return "body"
	}
	return location
}

// problemFromAPI makes a problem of an API server's error to a request with the caller's
// token. doing completes "… is not possible".
func problemFromAPI(err error, doing string) *problem {
	if p := problemFromAuth(err); p != nil {
		return p
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return unavailableProblem(doing, err)
	}
	if p := problemFromDenial(err, doing); p != nil {
		return p
	}
	apiStatus := status.Status()
	message := text.Abbreviate(strings.ReplaceAll(apiStatus.Message, ".bbmcp.quietstack.com", ""), maxMessageText)
	switch {
	case apierrors.IsUnauthorized(err):
		return unauthenticatedProblem("the API server does not take this token any more")
	case apierrors.IsForbidden(err):
		return newProblem(http.StatusForbidden, reasonForbidden, message)
	case apierrors.IsNotFound(err):
		return notFoundProblem("object")
	case apierrors.IsAlreadyExists(err):
		return newProblem(http.StatusConflict, reasonAlreadyExists, message)
	case apierrors.IsInvalid(err):
		return problemFromInvalid(apiStatus, message)
	case apierrors.IsTooManyRequests(err):
		wait, _ := apierrors.SuggestsClientDelay(err)
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, "the API server is busy; try again").setRetryAfter(time.Duration(wait) * time.Second)
	case apierrors.IsConflict(err):
		return newProblem(http.StatusConflict, string(apiStatus.Reason), message)
	case apierrors.IsBadRequest(err):
		return newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, message)
	}
	return unavailableProblem(doing, err)
}

// problemFromInvalid names the invalid fields by their names in the REST API.
func problemFromInvalid(apiStatus metav1.Status, message string) *problem {
	p := newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, message)
	if apiStatus.Details == nil {
		return p
	}
	for _, cause := range apiStatus.Details.Causes {
		field := settingFieldName(strings.TrimPrefix(cause.Field, "spec."))
		if field == "metadata.name" {
			field = "name"
		}
		p.addField(field, cause.Message)
	}
	return p
}

// problemFromAuth makes the problem of an error of package auth; nil: it is another one.
func problemFromAuth(err error) *problem {
	if errors.Is(err, auth.ErrAudienceTooNarrow) {
		return newProblem(http.StatusForbidden, reasonAudienceTooNarrow, auth.ErrAudienceTooNarrow.Error())
	}
	if e, ok := errors.AsType[*auth.Unauthenticated](err); ok {
		return unauthenticatedProblem(e.Detail)
	}
	if e, ok := errors.AsType[*auth.Forbidden](err); ok {
		return newProblem(http.StatusForbidden, reasonForbidden, e.Detail)
	}
	if e, ok := errors.AsType[*auth.LimitExceeded](err); ok {
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, e.Detail).setRetryAfter(e.Wait)
	}
	if e, ok := errors.AsType[*auth.Unavailable](err); ok {
		return unavailableProblem(e.Action, e.Cause)
	}
	return nil
}
