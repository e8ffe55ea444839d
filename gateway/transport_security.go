// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net"
	"net/http"
	"strings"
)

// strictTransport makes browsers use https for a year (RFC 6797).
const strictTransport = "max-age=31536000"

// requireTransportSecurity makes browsers that came over TLS stay with it. Not on a person's own
// machine, where the name belongs to everything that listens there.
func requireTransportSecurity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.TLS != nil && !isLocal(request.Host) {
			w.Header().Set("Strict-Transport-Security", strictTransport)
		}
		next.ServeHTTP(w, request)
	})
}

func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
