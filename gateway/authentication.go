// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

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

// authenticateRequest is the middleware that authenticates the caller, refuses ambiguous
// requests, and answers 503 while the indexes are stale.
func (a *access) authenticateRequest(ctx huma.Context, next func(huma.Context)) {
	request, w := humago.Unwrap(ctx)
	requestInfoOf(request.Context()).operation = ctx.Operation().OperationID
	refuse := func(p *problem) {
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
	}
	token, err := auth.BearerToken(request.Header)
	if err != nil {
		refuse(problemFromError(err))
		return
	}
	asCaller, _, err := a.authenticate(ctx.Context(), token)
	if err != nil {
		refuse(problemFromError(err))
		return
	}
	if p := refuseAmbiguous(request); p != nil {
		refuse(p)
		return
	}
	next(huma.WithContext(ctx, asCaller))
}
