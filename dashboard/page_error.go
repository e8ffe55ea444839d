// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"errors"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

// pageError is an error as a page shows it: the fault and the remedy.
type pageError struct {
	Status    int
	Title     string
	Detail    string
	Advice    string
	Fields    []rest.ProblemField
	RequestID string
}

// Error implements error.
func (t *pageError) Error() string { return t.Title + ": " + t.Detail }

// fieldDetail is the detail of a field's error; "": the field is valid.
func (t *pageError) fieldDetail(name string) string {
	if t == nil {
		return ""
	}
	for _, field := range t.Fields {
		if field.Field == name || strings.HasPrefix(field.Field, name+"[") {
			return field.Detail
		}
	}
	return ""
}

func newNotFoundPageError() *pageError {
	return &pageError{Status: http.StatusNotFound, Title: "There is no such page", Advice: "Begin again at the overview."}
}

func newOriginPageError() *pageError {
	return &pageError{
		Status: http.StatusForbidden, Title: "Refused: another site sent this",
		Detail: "What changes something is taken from pages of this dashboard only. Nothing was done.",
		Advice: "If you did want it, open the dashboard and do it there.",
	}
}

// problemError is an error of the backend that callers may see.
type problemError interface {
	error
	Document() rest.Problem
}

// newPageError makes an error of the backend or the REST API fit for a page.
func newPageError(err error) *pageError {
	if t, ok := errors.AsType[*pageError](err); ok {
		return t
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return pageErrorFromProblem(e.Problem, e.Status)
	}
	if known, ok := errors.AsType[problemError](err); ok {
		document := known.Document()
		return pageErrorFromProblem(document, document.Status)
	}
	return &pageError{
		Status: http.StatusInternalServerError, Title: "Something is wrong with the dashboard",
		Advice: "Try again. If it stays, show the request id below to whoever runs it.",
	}
}

func pageErrorFromProblem(p rest.Problem, status int) *pageError {
	t := &pageError{Status: status, Title: p.Title, Detail: toSentence(p.Detail), Fields: p.Errors, RequestID: p.RequestID}
	switch status {
	case http.StatusUnauthorized:
		t.Title, t.Advice = "You are signed out", "Sign in with a new token."
	case http.StatusForbidden:
		t.Title, t.Advice = "You may not do this", "Ask whoever runs the namespace for that role, then try again; it takes effect within 10 seconds."
	case http.StatusNotFound:
		t.Title, t.Advice = "It is not here", "It may have been deleted, by somebody or because it was old, or be in another namespace. Go back to the list."
	case http.StatusConflict:
		t.Title, t.Advice = "It cannot be done as things are", ""
	case http.StatusPreconditionFailed:
		t.Title, t.Advice = "Somebody else was faster", "Nothing was saved. Look at what it is now, and make your change again."
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		t.Title = "Something in this is wrong"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		t.Title, t.Advice = "Not possible at the moment", "Wait a few seconds and reload this page."
	}
	return t
}

// showPageError shows an error in place of a page.
func (d *Dashboard) showPageError(w http.ResponseWriter, request *http.Request, s *session, err error) {
	t := newPageError(err)
	if t.RequestID == "" {
		t.RequestID = w.Header().Get("X-Request-Id")
	}
	if t.Status == http.StatusUnauthorized && s != nil && !s.fromProxy {
		setSessionCookie(w, request, "")
		form := signInForm{To: Root, Error: t}
		if request.Method == http.MethodGet {
			form.To = safeReturnPath(request.URL.RequestURI())
		}
		d.renderSignIn(w, request, t.Status, form)
		return
	}
	l := layout{Title: t.Title, Body: t}
	if s != nil {
		l.Caller, l.Namespace, l.ByProxy = s.caller, s.namespace, s.fromProxy
		if s.namespace != "" && s.caller.Name != "" {
			l.Base = namespacePath(s.namespace)
		}
	}
	d.renderPage(w, t.Status, "error", l)
}

// isFormError reports whether the form can show the error next to the input, so that it
// can be corrected.
func (t *pageError) isFormError() bool {
	switch t.Status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return true
	}
	return false
}

func newForbiddenPageError(what, role string) *pageError {
	return &pageError{
		Status: http.StatusForbidden, Title: "You may not " + what + " here",
		Advice: "The role " + role + " gives that right. Ask whoever runs the namespace for it; it takes effect within 10 seconds.",
	}
}
