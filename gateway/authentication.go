// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// caller is who sent a request.
type caller struct {
	*authn.Identity

	token string
}

// name is the user name, such as system:serviceaccount:shop:orders.
func (c *caller) name() string { return c.User.GetName() }

// authenticateHeader finds out who sent a request.
func (g *Gateway) authenticateHeader(request *http.Request) (*caller, *problem) {
	token, p := bearerToken(request)
	if p != nil {
		return nil, p
	}
	return g.authenticateToken(request.Context(), token)
}

// authenticateToken finds out whose token it is.
func (g *Gateway) authenticateToken(ctx context.Context, token string) (*caller, *problem) {
	identity, err := g.tokens.Authenticate(ctx, token, requestInfoOf(ctx).address)
	if err == nil {
		return &caller{identity, token}, nil
	}
	if invalid, ok := errors.AsType[*authn.InvalidError](err); ok {
		return nil, unauthenticated(invalid.Detail)
	}
	if limited, ok := errors.AsType[*authn.LimitError](err); ok {
		detail := "too many new tokens of this namespace are being used; try again"
		if limited.Unchecked {
			detail = "too many tokens that this cluster has not signed are being tried; try again"
		}
		return nil, newProblem(http.StatusTooManyRequests, reasonTooManyRequests, detail).setRetryAfter(limited.Wait)
	}
	return nil, unavailable("checking the token", err)
}

func bearerToken(request *http.Request) (string, *problem) {
	header := request.Header.Get("Authorization")
	if len(request.Header.Values("Authorization")) > 1 { // a proxy may have read another one
		return "", unauthenticated("the header Authorization is there more than once; send it once")
	}
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if header == "" {
		return "", unauthenticated("the header Authorization is missing; send \"Authorization: Bearer <token of a ServiceAccount>\"")
	}
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", unauthenticated("the header Authorization must be \"Bearer <token of a ServiceAccount>\"")
	}
	return token, nil
}

// Scope is the namespace that a request speaks of. It is exported, as what
// embeds it, because the OpenAPI library passes over what is not.
type Scope struct {
	Namespace string `query:"namespace" doc:"Namespace; default: that of the caller's ServiceAccount"`
}

// resolveScope returns the caller and the namespace.
func (s Scope) resolveScope(ctx context.Context) (*caller, string, error) {
	caller := callerFrom(ctx)
	if caller == nil {
		return nil, "", unauthenticated("nobody is signed in")
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

type callerKey struct{}

func callerFrom(ctx context.Context) *caller {
	caller, _ := ctx.Value(callerKey{}).(*caller)
	return caller
}
