// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// TokenReviewer finds out whose a token is; see authn.Reviewer.
type TokenReviewer interface {
	Authenticate(ctx context.Context, token, address string) (*authn.Identity, error)
	ReadKeys(ctx context.Context)
}

// Authenticator authenticates callers by their tokens.
type Authenticator struct{ tokens TokenReviewer }

// NewAuthenticator makes an Authenticator.
func NewAuthenticator(tokens TokenReviewer) *Authenticator { return &Authenticator{tokens} }

// ReadKeys reads the keys of the cluster before the first token arrives.
func (a *Authenticator) ReadKeys(ctx context.Context) { a.tokens.ReadKeys(ctx) }

// Authenticate returns the caller whose token it is. address is the client's, for rate
// limits. Errors are *Unauthenticated, *LimitExceeded and *Unavailable.
func (a *Authenticator) Authenticate(ctx context.Context, token, address string) (*Caller, error) {
	identity, err := a.tokens.Authenticate(ctx, token, address)
	if err == nil {
		return &Caller{identity, token}, nil
	}
	if invalid, ok := errors.AsType[*authn.InvalidError](err); ok {
		return nil, &Unauthenticated{invalid.Detail}
	}
	if limited, ok := errors.AsType[*authn.LimitError](err); ok {
		detail := "too many new tokens of this namespace are being used; try again"
		if limited.Unchecked {
			detail = "too many tokens that this cluster has not signed are being tried; try again"
		}
		return nil, &LimitExceeded{Detail: detail, Wait: limited.Wait}
	}
	return nil, &Unavailable{Action: "checking the token", Cause: err}
}

// BearerToken returns the token in the header Authorization. Errors are
// *Unauthenticated.
func BearerToken(header http.Header) (string, error) {
	values := header.Values("Authorization")
	if len(values) > 1 { // a proxy may have read another one
		return "", &Unauthenticated{"the header Authorization is there more than once; send it once"}
	}
	value := header.Get("Authorization")
	if value == "" {
		return "", &Unauthenticated{"the header Authorization is missing; send \"Authorization: Bearer <token of a ServiceAccount>\""}
	}
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &Unauthenticated{"the header Authorization must be \"Bearer <token of a ServiceAccount>\""}
	}
	return token, nil
}
