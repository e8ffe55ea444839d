// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apiserver/pkg/authentication/user"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// newBody is a body of a caller, of a length that is known or not (-1).
func newBody(content io.Reader, length int64) *requestBody {
	now := time.Unix(1_700_000_000, 0)
	b := &requestBody{
		ReadCloser: io.NopCloser(content), quota: fixedQuota(&now), metrics: NewMetrics(prometheus.NewRegistry()), length: length, limit: mebi,
	}
	b.setOwner(&auth.Caller{Identity: &authn.Identity{User: &user.DefaultInfo{Name: "system:serviceaccount:a:one"}, Namespace: "a"}})
	return b
}

func TestBodyCountsUntilItsRequestEnds(t *testing.T) {
	for name, length := range map[string]int64{"of a known length": 300_000, "of an unknown length": -1} {
		t.Run(name, func(t *testing.T) {
			b := newBody(strings.NewReader(strings.Repeat("x", 300_000)), length)
			content, err := io.ReadAll(b)
			if err != nil || len(content) != 300_000 {
				t.Fatalf("%d bytes, %v", len(content), err)
			}
			if b.quota.used < 300_000 || b.quota.used > 300_000+bodyStep {
				t.Errorf("%d bytes count", b.quota.used)
			}
			if got := testutil.ToFloat64(b.metrics.bodies); got != float64(b.quota.used) {
				t.Errorf("the metric says %v", got)
			}
			b.setOwner(nil) // too late
			b.release(http.StatusAccepted, true)
			if b.quota.used != 0 || testutil.ToFloat64(b.metrics.bodies) != 0 || len(b.quota.shares) != 0 {
				t.Errorf("%d bytes are left", b.quota.used)
			}
		})
	}
}

func TestBodyIsRefused(t *testing.T) {
	hungUp := errors.New("connection reset by peer")
	tests := []struct {
		name    string
		content io.Reader
		length  int64
		used    int64 // by others of the caller
		status  int
		reason  string
	}{
		{"too large, and says so", iotest.ErrReader(hungUp), mebi + 1, 0, http.StatusRequestEntityTooLarge, "TooLarge"},
		{"too large, and does not say so", strings.NewReader(strings.Repeat("x", mebi+1)), -1, 0, http.StatusRequestEntityTooLarge, "TooLarge"},
		{"late", iotest.ErrReader(os.ErrDeadlineExceeded), 4, 0, http.StatusRequestTimeout, "BodyTimeout"},
		{"cut short", iotest.ErrReader(hungUp), 4, 0, http.StatusBadRequest, "BodyInvalid"},
		{"beyond the quota, before a byte is read", iotest.ErrReader(hungUp), 4, 16 * mebi, http.StatusServiceUnavailable, "Overloaded"},
		{"beyond the quota, of unknown length", strings.NewReader(strings.Repeat("x", mebi)), -1, 16*mebi - 2*bodyStep, http.StatusServiceUnavailable, "Overloaded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBody(tt.content, tt.length)
			if full := b.quota.reserve(b.owner, tt.used, 0); full != "" {
				t.Fatal(full)
			}
			_, err := io.ReadAll(b)
			p, ok := errors.AsType[*problem](err)
			if !ok || p.Status != tt.status || p.Reason != tt.reason {
				t.Fatalf("got %v, want %d %s", err, tt.status, tt.reason)
			}
			if tt.status == http.StatusServiceUnavailable && p.header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After: %q", p.header.Get("Retry-After"))
			}
			if _, again := b.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("read again: %v", again)
			}
			b.release(p.Status, false)
			if b.quota.used != tt.used {
				t.Errorf("%d bytes count, want %d", b.quota.used, tt.used)
			}
		})
	}
}
