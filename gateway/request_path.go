// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"path"
	"strings"

	"bbmcp.quietstack.com/webhooks/dashboard"
)

// refuseEmptySegments answers requests whose path lacks a part, as that of a webhook with an
// empty id does. http.ServeMux would send the caller elsewhere, by a redirect with
// an HTML body, to another call of the API.
func refuseEmptySegments(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		given := request.URL.EscapedPath()
		if strings.HasPrefix(given, dashboard.Root) || isCleanPath(given) {
			next.ServeHTTP(w, request)
			return
		}
		p := newProblem(http.StatusNotFound, reasonNotFound,
			"a part of the path is empty: an id is missing where it was made, as of a variable that is not set; /openapi.json lists what there is")
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
	})
}

// isCleanPath reports whether no segment of a path is empty, "." or "..".
func isCleanPath(escaped string) bool {
	return escaped == "/" || escaped == path.Clean(escaped)
}
