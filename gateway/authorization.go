// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
)

// requireRight returns nil if the caller has a right, else a problem.
func (a *access) requireRight(ctx context.Context, caller *auth.Caller, right auth.Right) error {
	return noteAuthorized(ctx, a.authorizer.Require(ctx, caller, right))
}

// requireRightOnObject is requireRight for one object; see auth.Authorizer.
func (a *access) requireRightOnObject(ctx context.Context, caller *auth.Caller, right auth.Right) error {
	return noteAuthorized(ctx, a.authorizer.RequireOnObject(ctx, caller, right))
}

// noteAuthorized notes that the caller of a request has a right, which its quota for bodies
// depends on; an error becomes a problem.
func noteAuthorized(ctx context.Context, err error) error {
	if err != nil {
		return problemFromError(err)
	}
	requestInfoOf(ctx).granted.Store(true)
	return nil
}
