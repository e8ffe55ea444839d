// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"bbmcp.quietstack.com/webhooks/client"
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

// visit is one request for a page. Its caller is in the context of the request.
type visit struct {
	*session

	d       *Dashboard
	w       http.ResponseWriter
	request *http.Request
	api     *client.Client
}

func (v *visit) ctx() context.Context { return v.request.Context() }

// id is the one in the path.
func (v *visit) id() string { return v.request.PathValue("id") }

// basePath is the path of the namespace's pages, without a trailing slash.
func (v *visit) basePath() string { return namespacePath(v.namespace) }

func namespacePath(namespace string) string { return Root + "ns/" + url.PathEscape(namespace) }

// may reports whether the caller has a right in the namespace of the page.
func (v *visit) may(verb, resource, name string) bool {
	return v.d.backend.May(v.ctx(), v.namespace, Right{Verb: verb, Resource: resource, Name: name})
}

// requestToken finds the token of a request: in the header that a proxy sets, or else in
// the cookie.
func requestToken(request *http.Request) (token string, byProxy bool) {
	if scheme, token, found := strings.Cut(request.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token), true
	}
	names := []string{secureCookie}
	if isLoopback(request) {
		names = append(names, loopbackCookie)
	}
	for _, name := range names {
		if cookie, err := request.Cookie(name); err == nil && cookie.Value != "" {
			return cookie.Value, false
		}
	}
	return "", false
}

// setTokenCookie sets the cookie for the browser's session; an empty token removes it.
func setTokenCookie(w http.ResponseWriter, request *http.Request, token string) {
	cookie := &http.Cookie{ //nolint:gosec // Secure is left out on this machine only, see isLoopback
		Name: secureCookie, Value: token, Path: "/", // as the prefix asks
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
	if isLoopback(request) {
		cookie.Name, cookie.Path, cookie.Secure = loopbackCookie, strings.TrimSuffix(Root, "/"), false
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// servePage authenticates the caller, and serves the page or an error.
func (d *Dashboard) servePage(operation string, serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		d.backend.NoteOperation(request.Context(), operation)
		token, byProxy := requestToken(request)
		if token == "" {
			d.requestSignIn(w, request)
			return
		}
		s := &session{
			token: token, namespace: request.PathValue("namespace"), fromProxy: byProxy,
			requestID: w.Header().Get("X-Request-Id"), remote: request.RemoteAddr,
		}
		ctx, caller, err := d.backend.Authenticate(request.Context(), token)
		if err != nil {
			d.showError(w, request, s, err)
			return
		}
		s.caller = caller
		if request.Method == http.MethodPost { // after authentication: the form counts against the caller's quota
			if err := readForm(request); err != nil {
				d.showError(w, request, s, err)
				return
			}
		}
		api, err := d.restClient(s)
		if err != nil {
			d.showError(w, request, s, err)
			return
		}
		request = request.WithContext(ctx)
		if err := serve(&visit{session: s, d: d, w: w, request: request, api: api}); err != nil {
			d.showError(w, request, s, err)
		}
	}
}

// requestSignIn shows the sign-in form in place of the page. A browser that follows a link
// from another site withholds the cookie, which is SameSite=Strict: it is sent to the same
// page again, from this site.
func (d *Dashboard) requestSignIn(w http.ResponseWriter, request *http.Request) {
	if request.Method == http.MethodGet && request.Header.Get("Sec-Fetch-Site") == "cross-site" && request.Header.Get("Sec-Fetch-Mode") == "navigate" {
		d.render(w, http.StatusOK, "bounce", layout{Title: "One moment"})
		return
	}
	to := Root
	if request.Method == http.MethodGet {
		to = request.URL.RequestURI()
	}
	d.renderSignIn(w, request, http.StatusUnauthorized, signInForm{To: to})
}
