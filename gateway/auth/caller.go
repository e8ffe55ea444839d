// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// Caller is the authenticated sender of a request. Its token is readable by this package
// only.
type Caller struct {
	*authn.Identity

	token string
}

// Name is the user name, such as system:serviceaccount:shop:orders.
func (c *Caller) Name() string { return c.User.GetName() }

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// CallerFrom returns the caller in the context; nil: there is none.
func CallerFrom(ctx context.Context) *Caller {
	caller, _ := ctx.Value(callerKey{}).(*Caller)
	return caller
}
