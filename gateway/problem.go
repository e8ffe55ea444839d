// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
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

// unavailableProblem says that the platform failed, not the caller.
func unavailableProblem(doing string, cause error) *problem {
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

func logHumaProblem(ctx huma.Context, p *problem) *problem {
	if ctx != nil {
		logProblem(ctx.Context(), p)
	}
	return p
}

func unauthenticatedProblem(why string) *problem {
	p := newProblem(http.StatusUnauthorized, reasonUnauthenticated, why)
	return p.setHeader("WWW-Authenticate", `Bearer realm="bbmcp"`)
}

func notFoundProblem(kind string) *problem {
	return newProblem(http.StatusNotFound, reasonNotFound, fmt.Sprintf("there is no such %s in this namespace", kind))
}

// failWithProblem makes the problem that a handler returns, and notes it for the access log.
func failWithProblem(ctx context.Context, err error) error {
	p := problemFromError(err)
	logProblem(ctx, p)
	return p
}

// logProblem sets the request id in a problem, and the problem in the access log.
func logProblem(ctx context.Context, p *problem) {
	info := requestInfoOf(ctx)
	p.RequestID = info.id
	info.reason = p.Reason
	info.cause = p.cause
}

// Document is the problem's REST representation; see package dashboard.
func (p *problem) Document() rest.Problem { return p.Problem }

func namespaceTerminatingProblem() *problem {
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

func mediaTypeProblem(field, detail string) *problem {
	return newFieldProblem(http.StatusUnsupportedMediaType, reasonMediaTypeUnknown, field, detail)
}

// contendedProblem is the problem of an object that other clients modify all the time.
func contendedProblem() *problem {
	return newProblem(http.StatusConflict, string(metav1.StatusReasonConflict), "the object is being changed by others at the same time; try again").setRetryAfter(retryShortly)
}
