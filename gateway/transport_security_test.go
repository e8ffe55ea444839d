// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestBrowsersAreToldToStayWithTLS(t *testing.T) {
	handler := requireTransportSecurity(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for url, want := range map[string]string{
		"https://hooks.example.com/dashboard/": strictTransport,
		"https://hooks.example.com:8443/":      strictTransport,
		"http://hooks.example.com/dashboard/":  "",
		"https://localhost:8443/dashboard/":    "",
		"https://demo.localhost/dashboard/":    "",
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
