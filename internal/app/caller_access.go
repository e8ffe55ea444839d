// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
)

// callerAccess finds out who callers are and what they may.
type callerAccess struct {
	tokens *authn.Reviewer
	rights *authz.Authorizer
}

func newCallerAccess(config *rest.Config) (*callerAccess, error) {
	tokens, err := authn.New(config, authn.NewMetrics(metrics.Registry), time.Now)
	if err != nil {
		return nil, err
	}
	rights, err := authz.New(config, authz.NewMetrics(metrics.Registry), time.Now)
	if err != nil {
		return nil, err
	}
	return &callerAccess{tokens, rights}, nil
}

// authorize lets in callers who may read /metrics.
func (a *callerAccess) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status := a.status(request)
		if status == http.StatusOK {
			next.ServeHTTP(w, request)
			return
		}
		http.Error(w, http.StatusText(status), status)
	})
}

// status returns 200, or the status of the refusal.
func (a *callerAccess) status(request *http.Request) int {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized
	}
	peer, _ := netip.ParseAddrPort(request.RemoteAddr) // the zero one is as good as any for a limit
	caller, err := a.tokens.Authenticate(request.Context(), token, httpserver.Source(peer.Addr().Unmap()))
	if _, ok := errors.AsType[*authn.InvalidError](err); ok {
		return http.StatusUnauthorized
	}
	var allowed bool
	if err == nil {
		allowed, err = a.rights.May(request.Context(), caller, authz.Question{Verb: "get", Path: "/metrics"})
	}
	_, unknown := errors.AsType[*authn.LimitError](err)
	_, asked := errors.AsType[*authz.LimitError](err)
	switch {
	case unknown || asked:
		return http.StatusTooManyRequests
	case err != nil:
		return http.StatusServiceUnavailable
	case !allowed:
		return http.StatusForbidden
	}
	return http.StatusOK
}
