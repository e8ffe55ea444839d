// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"
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
	funcs := textFuncs(now)
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

// showPage renders a page for the caller.
func (v *visit) showPage(name string, l layout) error {
	l.Caller, l.Namespace, l.ByProxy = v.caller, v.namespace, v.fromProxy
	if v.namespace != "" {
		l.Base = v.basePath()
	}
	if l.Notice == "" && v.request.Method == http.MethodGet {
		l.Notice = notices[v.request.URL.Query().Get("done")]
	}
	v.d.renderPageFor(v.w, v.request, http.StatusOK, name, l)
	return nil
}

func (d *Dashboard) renderPage(w http.ResponseWriter, status int, name string, l layout) {
	d.renderPageFor(w, nil, status, name, l)
}

// renderPageFor renders a page completely before sending any of it, so that an error does not
// leave half a page. The page is compressed, unless it contains a secret or the browser
// does not support that.
func (d *Dashboard) renderPageFor(w http.ResponseWriter, request *http.Request, status int, name string, l layout) {
	var page bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&page, "layout.html", l); err != nil {
		http.Error(w, "This page cannot be shown because of an error in the dashboard. Please report it, with this text: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	_, secret := l.Body.(webhookSecretView)
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

// showHomePage goes to the namespace that was asked for, or to the caller's own.
func (v *visit) showHomePage() error {
	namespace := v.request.URL.Query().Get("namespace")
	if namespace == "" {
		namespace = v.caller.Namespace
	}
	if namespace == "" {
		return v.showPage("namespace", layout{Title: "Choose a namespace"})
	}
	http.Redirect(v.w, v.request, namespacePath(namespace)+"/", http.StatusSeeOther)
	return nil
}

// servePage authenticates the caller, and serves the page or an error.
func (d *Dashboard) servePage(operation string, serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		d.backend.NoteOperation(request.Context(), operation)
		token, byProxy := sessionToken(request)
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
			d.showPageError(w, request, s, err)
			return
		}
		s.caller = caller
		if request.Method == http.MethodPost { // after authentication: the form counts against the caller's quota
			if err := parsePageForm(request); err != nil {
				d.showPageError(w, request, s, err)
				return
			}
		}
		api, err := d.inProcessClient(s)
		if err != nil {
			d.showPageError(w, request, s, err)
			return
		}
		request = request.WithContext(ctx)
		if err := serve(&visit{session: s, d: d, w: w, request: request, api: api}); err != nil {
			d.showPageError(w, request, s, err)
		}
	}
}

// parsePageForm parses a posted form. PostFormValue would treat a form that did not arrive as
// an empty one.
func parsePageForm(request *http.Request) error {
	err := request.ParseForm()
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &pageError{Status: http.StatusRequestEntityTooLarge, Title: "That is too much", Advice: "Send less at a time."}
	}
	if _, ok := errors.AsType[problemError](err); ok || err == nil {
		return err
	}
	return &pageError{Status: http.StatusBadRequest, Title: "The form cannot be read", Advice: "Open the page again and repeat what you did."}
}
