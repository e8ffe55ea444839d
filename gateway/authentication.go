// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
)

// authenticate finds out whose a token is, refuses the request while the indexes are
// stale, and attributes it to the caller. The context that it returns carries the caller.
func (a *access) authenticate(ctx context.Context, token string) (context.Context, *auth.Caller, error) {
	info := requestInfoOf(ctx)
	caller, err := a.authenticator.Authenticate(ctx, token, info.address)
	if err == nil {
		err = a.staleness.Check()
	}
	if err != nil {
		return nil, nil, err
	}
	info.user = caller.Name()
	info.body.setOwner(caller)
	return auth.WithCaller(ctx, caller), caller, nil
}
