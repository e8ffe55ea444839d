// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"path"
	"strings"

	"bbmcp.quietstack.com/webhooks/dashboard"
)

// refuseEmptyPathSegments answers 404 to a path with an empty segment, such as that of a
// webhook whose id is empty. http.ServeMux would answer with a redirect and an HTML body,
// and lead the client to another operation.
func refuseEmptyPathSegments(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		given := request.URL.EscapedPath()
		if strings.HasPrefix(given, dashboard.Root) || isCleanRequestPath(given) {
			next.ServeHTTP(w, request)
			return
		}
		p := newProblem(http.StatusNotFound, reasonNotFound,
			"a part of the path is empty: an id is missing where it was made, as of a variable that is not set; /openapi.json lists what there is")
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
	})
}

// isCleanRequestPath reports whether no segment of a path is empty, "." or "..".
func isCleanRequestPath(escaped string) bool {
	return escaped == "/" || escaped == path.Clean(escaped)
}
