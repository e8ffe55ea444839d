// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// problemFromDenial makes a problem of what stands between a write and the API server: a
// policy, a quota, the end of the namespace; nil: none of these. doing completes
// "… is refused" and "… is not possible".
func problemFromDenial(err error, doing string) *problem {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return nil
	}
	apiStatus, text := status.Status(), denialText(err)
	switch kind := denial.Of(err); {
	case kind == denial.Policy && denial.IsLasting(err):
		return newProblem(policyStatus(apiStatus.Code), reasonPolicyDenied, doing+" is refused: "+text)
	case kind == denial.Policy && apiStatus.Code == http.StatusTooManyRequests:
		wait, _ := apierrors.SuggestsClientDelay(err)
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, doing+" is refused: "+text+"; try again").setRetryAfter(time.Duration(wait) * time.Second)
	case kind == denial.Policy, kind == denial.Broken:
		p := unavailable(doing, err)
		p.Detail = doing + " is not possible at the moment: " + text + "; try again"
		return p
	case kind == denial.Quota:
		return newProblem(http.StatusForbidden, reasonQuotaExceeded, doing+" is refused: "+text)
	case kind == denial.Namespace && apierrors.IsNotFound(err):
		return newProblem(http.StatusNotFound, reasonNotFound, "the namespace does not exist any more")
	case kind == denial.Namespace:
		return namespaceTerminating()
	}
	return nil
}

// denialText is what the API server said, in the names of the REST API.
func denialText(err error) string {
	return abbreviate(strings.ReplaceAll(denial.Sentence(err), ".bbmcp.quietstack.com", ""), maxMessageText)
}

// policyStatus is a policy's code, if that says no more than no: its 404 is about no
// object, its 409 about no conflict, and its 401 about no token.
func policyStatus(code int32) int {
	switch code {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		return int(code)
	}
	return http.StatusUnprocessableEntity
}
