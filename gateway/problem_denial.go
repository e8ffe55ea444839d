// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// problemFromDenial makes a problem of a write that a policy, a quota or a terminating
// namespace refused; nil: none of them did. doing completes "… is refused" and "… is not
// possible".
func problemFromDenial(err error, doing string) *problem {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return nil
	}
	apiStatus, text := status.Status(), denialText(err)
	switch kind := denial.KindOf(err); {
	case kind == denial.Policy && denial.IsLasting(err):
		return newProblem(denialStatus(apiStatus.Code), reasonPolicyDenied, doing+" is refused: "+text)
	case kind == denial.Policy && apiStatus.Code == http.StatusTooManyRequests:
		wait, _ := apierrors.SuggestsClientDelay(err)
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, doing+" is refused: "+text+"; try again").setRetryAfter(time.Duration(wait) * time.Second)
	case kind == denial.Policy, kind == denial.Broken:
		p := unavailableProblem(doing, err)
		p.Detail = doing + " is not possible at the moment: " + text + "; try again"
		return p
	case kind == denial.Quota:
		return newProblem(http.StatusForbidden, reasonQuotaExceeded, doing+" is refused: "+text)
	case kind == denial.Namespace && apierrors.IsNotFound(err):
		return newProblem(http.StatusNotFound, reasonNotFound, "the namespace does not exist any more")
	case kind == denial.Namespace:
		return namespaceTerminatingProblem()
	}
	return nil
}

// denialText is the API server's message, with resources named as in the REST API.
func denialText(err error) string {
	return text.Abbreviate(strings.ReplaceAll(denial.Sentence(err), ".bbmcp.quietstack.com", ""), maxMessageText)
}

// denialStatus is the HTTP status for the code of a policy. A policy's 404 concerns no
// object, its 409 no conflict and its 401 no token: each of these becomes 422.
func denialStatus(code int32) int {
	switch code {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		return int(code)
	}
	return http.StatusUnprocessableEntity
}
