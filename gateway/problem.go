// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// Reasons of problems, in addition to those of package payload and of the API server. They
// are API: never reworded.
const (
	reasonBodyInvalid       = "BodyInvalid"
	reasonBodyTimeout       = "BodyTimeout"
	reasonOverloaded        = "Overloaded"
	reasonFieldInvalid      = "FieldInvalid"
	reasonUnauthenticated   = "Unauthenticated"
	reasonForbidden         = "Forbidden"
	reasonAudienceTooNarrow = "AudienceTooNarrow"
	reasonNotFound          = "NotFound"
	reasonAlreadyExists     = "AlreadyExists"
	reasonFieldOwned        = "FieldOwned"
	reasonUnavailable       = "Unavailable"
	reasonTooManyRequests   = "TooManyRequests"
	reasonVersionMismatch   = "VersionMismatch"
	reasonInternal          = "Internal"
	reasonPolicyDenied      = "PolicyDenied"
	reasonNamespaceMissing  = "NamespaceMissing"

	// These are of publishing.

	reasonNamespaceTerminating = "NamespaceTerminating"
	reasonQuotaExceeded        = "QuotaExceeded"
	reasonEventIDTaken         = "EventIDTaken"
	reasonEventTypeInvalid     = "EventTypeInvalid"
	reasonMediaTypeUnknown     = "MediaTypeUnknown"
)

// retryShortly is the Retry-After of a momentary failure.
const retryShortly = time.Second

// retryFull is the Retry-After of a quota that is used up.
const retryFull = 10 * time.Second

// problem is an error that a caller gets to see (RFC 9457).
type problem struct {
	rest.Problem

	header http.Header
	cause  error // for the log; nil: the caller is the cause
}

var (
	_ huma.StatusError       = (*problem)(nil)
	_ huma.HeadersError      = (*problem)(nil)
	_ huma.ContentTypeFilter = (*problem)(nil)
)

// newProblem makes a problem with a reason, a detail and the fields at fault.
func newProblem(status int, reason, detail string, fields ...rest.ProblemField) *problem {
	return &problem{Problem: rest.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Reason: reason, Detail: detail, Errors: fields,
	}}
}

// newFieldProblem is about one field.
func newFieldProblem(status int, reason, field, detail string) *problem {
	return newProblem(status, reason, field+": "+detail, rest.ProblemField{Field: field, Detail: detail, Reason: reason})
}

// unavailable says that the platform failed, not the caller.
func unavailable(doing string, cause error) *problem {
	p := newProblem(http.StatusServiceUnavailable, reasonUnavailable, doing+" is not possible at the moment; try again")
	p.cause = cause
	return p.setRetryAfter(retryShortly)
}

// internalProblem says that there is a bug.
func internalProblem(cause error) *problem {
	p := newProblem(http.StatusInternalServerError, reasonInternal, "something is wrong with the gateway; its log tells more, under the request id")
	p.cause = cause
	return p
}

func (p *problem) setRetryAfter(wait time.Duration) *problem {
	return p.setHeader("Retry-After", strconv.Itoa(max(1, int(wait.Round(time.Second)/time.Second))))
}

func (p *problem) setHeader(name, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// Unwrap implements errors.Unwrap.
func (p *problem) Unwrap() error { return p.cause }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// write sends the problem as the response, where huma is not involved.
func (p *problem) write(w http.ResponseWriter, requestID string) {
	p.RequestID = requestID
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = jsonFormat.Marshal(w, p) // the client may have hung up
}

// problemFromHuma makes a problem of a validation error of huma. The value at fault is
// never repeated: it may be a secret.
func problemFromHuma(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	if existing, ok := errors.AsType[*problem](errors.Join(errs...)); ok {
		return logProblemOf(ctx, existing)
	}
	if status >= http.StatusInternalServerError {
		return logProblemOf(ctx, internalProblem(errors.Join(errs...)))
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
		p.addField(requestField(detail.Location), detail.Message)
	}
	return logProblemOf(ctx, p)
}

const (
	// maxProblemFields is how many fields a problem names: a body may have thousands
	// that are wrong.
	maxProblemFields = 20
	// maxFieldText and maxDetailText bound the name and the detail of each field, in
	// bytes: a name or a value may be as long as the body.
	maxFieldText  = 128
	maxDetailText = 512
	// maxMessageText bounds a message of the API server, which may repeat a value.
	maxMessageText = 2048
)

// addField names one more field that is wrong; the first one is the detail.
func (p *problem) addField(field, detail string) {
	if len(p.Errors) == maxProblemFields {
		return
	}
	field, detail = text.Abbreviate(field, maxFieldText), text.Abbreviate(detail, maxDetailText)
	if len(p.Errors) == 0 {
		p.Detail = field + ": " + detail
	}
	p.Errors = append(p.Errors, rest.ProblemField{Field: field, Detail: detail, Reason: p.Reason})
}

func logProblemOf(ctx huma.Context, p *problem) *problem {
	if ctx != nil {
		logProblem(ctx.Context(), p)
	}
	return p
}

// requestField turns huma's location "body.url" into the member's name, "url".
func requestField(location string) string {
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
		return unavailable(doing, err)
	}
	if p := problemFromDenial(err, doing); p != nil {
		return p
	}
	apiStatus := status.Status()
	message := text.Abbreviate(strings.ReplaceAll(apiStatus.Message, ".bbmcp.quietstack.com", ""), maxMessageText)
	switch {
	case apierrors.IsUnauthorized(err):
		return unauthenticated("the API server does not take this token any more")
	case apierrors.IsForbidden(err):
		return newProblem(http.StatusForbidden, reasonForbidden, message)
	case apierrors.IsNotFound(err):
		return notFound("object")
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
	return unavailable(doing, err)
}

// problemFromInvalid names the invalid fields by their names in the REST API.
func problemFromInvalid(apiStatus metav1.Status, message string) *problem {
	p := newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, message)
	if apiStatus.Details == nil {
		return p
	}
	for _, cause := range apiStatus.Details.Causes {
		field := restFieldName(strings.TrimPrefix(cause.Field, "spec."))
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
		return unauthenticated(e.Detail)
	}
	if e, ok := errors.AsType[*auth.Forbidden](err); ok {
		return newProblem(http.StatusForbidden, reasonForbidden, e.Detail)
	}
	if e, ok := errors.AsType[*auth.LimitExceeded](err); ok {
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, e.Detail).setRetryAfter(e.Wait)
	}
	if e, ok := errors.AsType[*auth.Unavailable](err); ok {
		return unavailable(e.Action, e.Cause)
	}
	return nil
}

func unauthenticated(why string) *problem {
	p := newProblem(http.StatusUnauthorized, reasonUnauthenticated, why)
	return p.setHeader("WWW-Authenticate", `Bearer realm="bbmcp"`)
}

func notFound(kind string) *problem {
	return newProblem(http.StatusNotFound, reasonNotFound, fmt.Sprintf("there is no such %s in this namespace", kind))
}
