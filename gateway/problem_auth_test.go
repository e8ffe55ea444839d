// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
)

func TestEveryErrorBecomesAProblem(t *testing.T) {
	tests := []struct {
		name                     string
		err                      error
		status                   int
		reason, header, wantText string
	}{
		{"a problem", notFoundProblem("webhook"), http.StatusNotFound, reasonNotFound, "", ""},
		{"no valid token", &auth.Unauthenticated{Detail: "expired"}, http.StatusUnauthorized, reasonUnauthenticated, "WWW-Authenticate", `Bearer realm="bbmcp"`},
		{"a missing right", &auth.Forbidden{Detail: "may not"}, http.StatusForbidden, reasonForbidden, "", ""},
		{"a token for publishing", auth.ErrAudienceTooNarrow, http.StatusForbidden, reasonAudienceTooNarrow, "", ""},
		{"a token for publishing, found by the transport", &url.Error{Op: "Put", Err: auth.ErrAudienceTooNarrow}, http.StatusForbidden, reasonAudienceTooNarrow, "", ""},
		{"too many reviews", &auth.LimitExceeded{Detail: "too many", Wait: 3 * time.Second}, http.StatusTooManyRequests, reasonTooManyRequests, "Retry-After", "3"},
		{"an unreachable API server", &auth.Unavailable{Action: "checking rights", Cause: errors.New("refused")}, http.StatusServiceUnavailable, reasonUnavailable, "Retry-After", "1"},
		{"a missing caller, which is a bug", auth.ErrNoCaller, http.StatusInternalServerError, reasonInternal, "", ""},
		{"any other error", errors.New("a bug"), http.StatusInternalServerError, reasonInternal, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, fmt.Errorf("wrapped: %w", tt.err)} {
				p := problemFromError(err)
				if p.Status != tt.status || p.Reason != tt.reason || tt.header != "" && p.header.Get(tt.header) != tt.wantText {
					t.Errorf("%v: %d %s %v", err, p.Status, p.Reason, p.header)
				}
			}
		})
	}
}
