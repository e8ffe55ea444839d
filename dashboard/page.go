// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

//go:embed templates/*.html
var templates embed.FS

// layout is the frame of every page.
type layout struct {
	Title     string
	Nav       string // which entry is the current one
	Caller    Caller
	Namespace string
	ByProxy   bool
	Base      string // of the namespace's pages; "": not signed in
	Notice    string
	Live      string // path of the page's stream of changes; "": none
	Body      any
}

// parsePages makes one template set for each page: the layout, the parts that
// pages share, and the page.
func parsePages(assets *assets, now func() time.Time) (map[string]*template.Template, error) {
	funcs := pageFuncs(now)
	funcs["asset"] = assets.path
	shared, err := template.New("layout.html").Funcs(funcs).ParseFS(templates, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	entries, err := templates.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		page, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if pages[name], err = page.ParseFS(templates, "templates/"+entry.Name()); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// show renders a page for the caller.
func (v *visit) show(name string, l layout) error {
	l.Caller, l.Namespace, l.ByProxy = v.caller, v.namespace, v.fromProxy
	if v.namespace != "" {
		l.Base = v.basePath()
	}
	if l.Notice == "" && v.request.Method == http.MethodGet {
		l.Notice = notices[v.request.URL.Query().Get("done")]
	}
	v.d.renderFor(v.w, v.request, http.StatusOK, name, l)
	return nil
}

func (d *Dashboard) render(w http.ResponseWriter, status int, name string, l layout) {
	d.renderFor(w, nil, status, name, l)
}

// renderFor renders a page completely before sending any of it, so that an error does not
// leave half a page. The page is compressed, unless it contains a secret or the browser
// does not support that.
func (d *Dashboard) renderFor(w http.ResponseWriter, request *http.Request, status int, name string, l layout) {
	var page bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&page, "layout.html", l); err != nil {
		http.Error(w, "This page cannot be shown because of an error in the dashboard. Please report it, with this text: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	_, secret := l.Body.(secretView)
	if request != nil && !secret && strings.Contains(request.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		header.Set("Vary", "Accept-Encoding")
		w.WriteHeader(status)
		packed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level exists
		_, _ = packed.Write(page.Bytes())                   // the client may have hung up
		_ = packed.Close()
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// redirect sends the browser to a page of the namespace after an action; done selects the
// notice.
func (v *visit) redirect(path, done string) error {
	to := v.basePath() + path
	if done != "" {
		to += "?done=" + done
	}
	http.Redirect(v.w, v.request, to, http.StatusSeeOther)
	return nil
}

// notices are the messages of pages after an action. The query of a page only selects one,
// so that no link can put text into a page.
var notices = map[string]string{ //nolint:gochecknoglobals // never changed
	"suspended": "Suspended. Deliveries are held; new events are collected.",
	"resumed":   "Resumed. What was held is being sent, paced.",
	"enabled":   "Enabled. New events are delivered again.",
	"changed":   "Saved. Changes count from the next attempt.",
	"deleted":   "Deleted, with its secret and its deliveries.",
	"tested":    "The test event is on its way. This page shows what comes of it.",
	"sent":      "The test event is on its way. You may not see deliveries here; ask the endpoint's owner whether it arrived.",
	"retried":   "One attempt is being made now. This page shows what comes of it.",
}

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

func pageNotFound() *pageError {
	return &pageError{Status: http.StatusNotFound, Title: "There is no such page", Advice: "Begin again at the overview."}
}

func refusedOrigin() *pageError {
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

// showError shows an error in place of a page.
func (d *Dashboard) showError(w http.ResponseWriter, request *http.Request, s *session, err error) {
	t := newPageError(err)
	if t.RequestID == "" {
		t.RequestID = w.Header().Get("X-Request-Id")
	}
	if t.Status == http.StatusUnauthorized && s != nil && !s.fromProxy {
		setTokenCookie(w, request, "")
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
	d.render(w, t.Status, "error", l)
}

// showHome goes to the namespace that was asked for, or to the caller's own.
func (v *visit) showHome() error {
	namespace := v.request.URL.Query().Get("namespace")
	if namespace == "" {
		namespace = v.caller.Namespace
	}
	if namespace == "" {
		return v.show("namespace", layout{Title: "Choose a namespace"})
	}
	http.Redirect(v.w, v.request, namespacePath(namespace)+"/", http.StatusSeeOther)
	return nil
}

// toSentence begins with a capital and ends with a full stop.
func toSentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// livePath is the path of the stream for a topic.
func (v *visit) livePath(topic Topic) string {
	return fmt.Sprintf("%s/live?webhook=%s&delivery=%s", v.basePath(), topic.Webhook, topic.Delivery)
}
