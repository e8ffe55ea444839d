// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net"
	"net/http"
	"strings"
)

// strictTransport makes browsers use https for a year (RFC 6797).
const strictTransport = "max-age=31536000"

// requireTransportSecurity tells browsers that came over TLS to use https only from now
// on. On localhost it does not: other servers on the user's machine share that name.
func requireTransportSecurity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.TLS != nil && !isLocalhost(request.Host) {
			w.Header().Set("Strict-Transport-Security", strictTransport)
		}
		next.ServeHTTP(w, request)
	})
}

func isLocalhost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
