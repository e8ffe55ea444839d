// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/util/validation"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
)

// Scope is the namespace of a request. It is exported, like the structs that embed it,
// because the OpenAPI library ignores unexported ones.
type Scope struct {
	Namespace string `query:"namespace" doc:"Namespace; default: that of the caller's ServiceAccount"`
}

// resolveScope returns the caller and the namespace.
func (s Scope) resolveScope(ctx context.Context) (*auth.Caller, string, error) {
	caller := auth.CallerFrom(ctx)
	if caller == nil {
		return nil, "", unauthenticatedProblem("nobody is signed in")
	}
	if s.Namespace == "" {
		if caller.Namespace == "" {
			return nil, "", newFieldProblem(http.StatusBadRequest, reasonNamespaceMissing, "query.namespace", "is needed, because the token is not that of a ServiceAccount")
		}
		requestInfoOf(ctx).namespace = caller.Namespace
		return caller, caller.Namespace, nil
	}
	if complaints := validation.IsDNS1123Label(s.Namespace); len(complaints) > 0 {
		return nil, "", newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query.namespace", complaints[0])
	}
	requestInfoOf(ctx).namespace = s.Namespace
	return caller, s.Namespace, nil
}
