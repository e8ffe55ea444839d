// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"strings"
)

// The cookie holds the token and nothing else; no replica keeps sessions. The
// prefix makes browsers refuse it from a page that came without TLS, and from any
// other host: a neighbour under a common domain could set it otherwise.
const (
	secureCookie   = "__Host-bbmcp-token"
	loopbackCookie = "bbmcp-token"
	// maxCookieToken is what fits into a cookie, name and attributes included.
	maxCookieToken = 3800
)

// session is the caller of a request, and how the request was authenticated.
type session struct {
	token     string
	caller    Caller
	namespace string // of the page; "": none
	fromProxy bool   // the token came in a proxy's header, so the caller cannot sign out here
	requestID string
	remote    string
}

// sessionToken finds the token of a request: in the header that a proxy sets, or else in
// the cookie.
func sessionToken(request *http.Request) (token string, byProxy bool) {
	if scheme, token, found := strings.Cut(request.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token), true
	}
	names := []string{secureCookie}
	if isLoopbackRequest(request) {
		names = append(names, loopbackCookie)
	}
	for _, name := range names {
		if cookie, err := request.Cookie(name); err == nil && cookie.Value != "" {
			return cookie.Value, false
		}
	}
	return "", false
}

// setSessionCookie sets the cookie for the browser's session; an empty token removes it.
func setSessionCookie(w http.ResponseWriter, request *http.Request, token string) {
	cookie := &http.Cookie{ //nolint:gosec // Secure is left out on this machine only, see isLoopbackRequest
		Name: secureCookie, Value: token, Path: "/", // as the prefix asks
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
	if isLoopbackRequest(request) {
		cookie.Name, cookie.Path, cookie.Secure = loopbackCookie, strings.TrimSuffix(Root, "/"), false
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
