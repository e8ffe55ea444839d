// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// signInForm is the content of the sign-in page.
type signInForm struct {
	To    string // where to go then
	Error *pageError
	// Unencrypted says that the page came without TLS, so that it asks for no token.
	Unencrypted bool
}

func (d *Dashboard) renderSignIn(w http.ResponseWriter, request *http.Request, status int, form signInForm) {
	if form.Unencrypted = !d.isEncrypted(request); form.Unencrypted {
		form.Error = &pageError{
			Title:  "Sign in over https only",
			Detail: "This page came without TLS, and a token that is sent like that can be read on the way.",
			Advice: "Open the dashboard with https://. Whoever runs it puts TLS in front of it, by --tls-cert-file or a proxy that sets X-Forwarded-Proto.",
		}
	}
	d.renderPage(w, status, "sign-in", layout{Title: "Sign in", Body: form})
}

// showSignIn shows the sign-in form. A browser also arrives here after it was given the
// cookie; if it has not kept it, the form says why.
func (d *Dashboard) showSignIn(w http.ResponseWriter, request *http.Request) {
	d.backend.NoteOperation(request.Context(), "dashboard-sign-in")
	form := signInForm{To: safeReturnPath(request.URL.Query().Get("to"))}
	token, _ := sessionToken(request)
	given := request.URL.Query().Has("given")
	switch {
	case token != "" && given:
		http.Redirect(w, request, form.To, http.StatusSeeOther)
		return
	case given:
		form.Error = &pageError{
			Title:  "Your browser did not keep you signed in",
			Detail: "The cookie that holds the token travels over TLS only, and this page came without, or cookies are blocked.",
			Advice: "Open the dashboard with https://, or allow its cookie, and sign in again.",
		}
	}
	d.renderSignIn(w, request, http.StatusOK, form)
}

func (d *Dashboard) signIn(w http.ResponseWriter, request *http.Request) {
	d.backend.NoteOperation(request.Context(), "dashboard-sign-in")
	if !d.isEncrypted(request) {
		d.renderSignIn(w, request, http.StatusForbidden, signInForm{To: Root})
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, maxSignInBytes)
	readErr := parsePageForm(request)
	form := signInForm{To: safeReturnPath(request.PostFormValue("to"))}
	token := strings.TrimSpace(request.PostFormValue("token"))
	token = strings.TrimSpace(strings.TrimPrefix(token, "Bearer "))
	refuse := func(status int, t pageError) {
		form.Error = &t
		d.renderSignIn(w, request, status, form)
	}
	switch {
	case readErr != nil:
		t := newPageError(readErr)
		refuse(t.Status, *t)
		return
	case token == "":
		refuse(http.StatusUnprocessableEntity, pageError{Title: "The token is missing", Advice: "Paste the token of a ServiceAccount. The command below prints one."})
		return
	case len(token) > maxCookieToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' || r == ',' || r == '"' || r == '\\' }):
		refuse(http.StatusUnprocessableEntity, pageError{Title: "This is no token of a ServiceAccount", Advice: "Copy it again, whole and without line breaks. It has three parts with a dot between them."})
		return
	}
	if _, _, err := d.backend.Authenticate(request.Context(), token); err != nil {
		t := newPageError(err)
		if t.Status == http.StatusUnauthorized {
			t.Title, t.Advice = "This token is not valid", "Get a new one with the command below."
		}
		refuse(t.Status, *t)
		return
	}
	setSessionCookie(w, request, token)
	http.Redirect(w, request, Root+"sign-in?given&to="+url.QueryEscape(form.To), http.StatusSeeOther)
}

func (d *Dashboard) signOut(w http.ResponseWriter, request *http.Request) {
	d.backend.NoteOperation(request.Context(), "dashboard-sign-out")
	setSessionCookie(w, request, "")
	w.Header().Set("Clear-Site-Data", `"cache"`)
	http.Redirect(w, request, Root+"sign-in", http.StatusSeeOther)
}

// safeReturnPath is a path of the dashboard to return to; Root for any target outside it.
func safeReturnPath(target string) string {
	parsed, err := url.Parse(target)
	if err != nil || parsed.IsAbs() || parsed.Host != "" || parsed.User != nil || !strings.HasPrefix(parsed.Path, Root) || strings.ContainsAny(target, "\\\r\n") ||
		strings.HasPrefix(parsed.Path, Root+"sign-in") {
		return Root
	}
	if strings.TrimSuffix(parsed.Path, "/") != path.Clean(parsed.Path) {
		return Root // browsers resolve "..", and %2e%2e
	}
	return (&url.URL{Path: parsed.Path, RawPath: parsed.RawPath, RawQuery: parsed.RawQuery}).String()
}

// requestSignIn shows the sign-in form in place of the page. A browser that follows a link
// from another site withholds the cookie, which is SameSite=Strict: it is sent to the same
// page again, from this site.
func (d *Dashboard) requestSignIn(w http.ResponseWriter, request *http.Request) {
	if request.Method == http.MethodGet && request.Header.Get("Sec-Fetch-Site") == "cross-site" && request.Header.Get("Sec-Fetch-Mode") == "navigate" {
		d.renderPage(w, http.StatusOK, "bounce", layout{Title: "One moment"})
		return
	}
	to := Root
	if request.Method == http.MethodGet {
		to = request.URL.RequestURI()
	}
	d.renderSignIn(w, request, http.StatusUnauthorized, signInForm{To: to})
}
