// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/test/cost"
)

// What says for whom a proxy speaks costs time and memory in proportion to its length.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		"", "198.51.100.1", "10.1.1.1, 10.2.2.2", strings.Repeat("10.1.1.1,", 6_000), strings.Repeat(",", 60_000),
		"fe80::1%" + strings.Repeat("z", 60_000), "::ffff:10.0.0.1", strings.Repeat("1", 60_000), "10.0.0.1:80", " \t10.0.0.1\t",
	} {
		f.Add(seed)
	}
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		request.RemoteAddr = "10.0.0.1:1"
		request.Header.Set("X-Forwarded-For", forwarded)
		cost.Linear.Within(t, len(forwarded), func() {
			if source := Source(proxies.Client(request)); len(source) > 64 {
				t.Errorf("a source of %d bytes", len(source))
			}
		})
	})
}
