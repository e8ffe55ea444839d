// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"net/http"
	"sync"
	"time"
)

// Root is the path of the dashboard.
const Root = "/dashboard/"

// Options are the dependencies and settings of a Dashboard.
type Options struct {
	// API serves the REST API.
	API     http.Handler
	Backend Backend
	// IsSecure reports whether a request came over TLS, to this process or to a trusted
	// proxy.
	IsSecure func(*http.Request) bool
	Now      func() time.Time
	// MaxStreams bounds the live pages of all callers, and CallerStreams those of one
	// caller; pages beyond that poll every few seconds. 0: 500 and 20.
	MaxStreams, CallerStreams int
}

// Dashboard serves all paths under Root.
type Dashboard struct {
	api      http.Handler
	backend  Backend
	isSecure func(*http.Request) bool
	now      func() time.Time
	assets   *assets
	pages    map[string]*template.Template
	streams  *livePages
	handler  http.Handler
	closed   chan struct{}
	endOnce  sync.Once
	interval time.Duration // between two messages of a stream, at least
}

// New parses the templates. It starts no goroutine.
func New(o Options) (*Dashboard, error) {
	d := &Dashboard{
		api: o.API, backend: o.Backend, isSecure: o.IsSecure, now: o.Now, closed: make(chan struct{}), interval: time.Second,
		streams: newLivePages(o.MaxStreams, o.CallerStreams),
	}
	var err error
	if d.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("set up dashboard: %w", err)
	}
	if d.pages, err = parsePages(d.assets, d.now); err != nil {
		return nil, fmt.Errorf("set up dashboard: %w", err)
	}
	d.handler = d.protect(d.routes())
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	d.handler.ServeHTTP(w, request)
}

// Close ends the live pages' streams, so that the server can shut down.
func (d *Dashboard) Close() { d.endOnce.Do(func() { close(d.closed) }) }

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dashboard/assets/{file}", d.serveAsset)
	mux.HandleFunc("GET /dashboard/sign-in", d.showSignIn)
	mux.HandleFunc("POST /dashboard/sign-in", d.signIn)
	mux.HandleFunc("POST /dashboard/sign-out", d.signOut)
	page := func(pattern, operation string, serve func(*visit) error) {
		mux.HandleFunc(pattern, d.servePage("dashboard-"+operation, serve))
	}
	page("GET /dashboard/{$}", "home", (*visit).showHomePage)
	const namespace = "/dashboard/ns/{namespace}"
	page("GET "+namespace+"/{$}", "overview", (*visit).showOverview)
	page("GET "+namespace+"/live", "live", (*visit).serveLive)
	page("GET "+namespace+"/event-types", "event-types", (*visit).showEventTypes)
	page("GET "+namespace+"/webhooks", "webhooks", (*visit).showWebhooks)
	page("POST "+namespace+"/webhooks", "create", (*visit).createWebhook)
	page("GET "+namespace+"/webhooks/new", "create", (*visit).showNewWebhook)
	page("GET "+namespace+"/webhooks/{id}", "webhook", (*visit).showWebhook)
	page("GET "+namespace+"/webhooks/{id}/edit", "edit", (*visit).showUpdate)
	page("POST "+namespace+"/webhooks/{id}/edit", "edit", (*visit).updateWebhook)
	page("GET "+namespace+"/webhooks/{id}/test", "test", (*visit).showTestEvent)
	page("POST "+namespace+"/webhooks/{id}/test", "test", (*visit).sendTestEvent)
	page("GET "+namespace+"/webhooks/{id}/rotate", "rotate", (*visit).confirmRotateAction)
	page("POST "+namespace+"/webhooks/{id}/rotate", "rotate", (*visit).rotateWebhookSecret)
	page("GET "+namespace+"/webhooks/{id}/delete", "delete", (*visit).confirmDeleteAction)
	page("POST "+namespace+"/webhooks/{id}/delete", "delete", (*visit).deleteWebhook)
	page("POST "+namespace+"/webhooks/{id}/suspend", "suspend", (*visit).suspendWebhook)
	page("POST "+namespace+"/webhooks/{id}/resume", "resume", (*visit).resumeWebhook)
	page("POST "+namespace+"/webhooks/{id}/enable", "enable", (*visit).enableWebhook)
	page("GET "+namespace+"/deliveries/{id}", "delivery", (*visit).showDelivery)
	page("GET "+namespace+"/deliveries/{id}/body", "body", (*visit).downloadDeliveryPayload)
	page("POST "+namespace+"/deliveries/{id}/retry", "retry", (*visit).retryDelivery)
	page("GET /dashboard/", "other", func(*visit) error { return newNotFoundPageError() })
	mux.HandleFunc("GET /dashboard", func(w http.ResponseWriter, request *http.Request) {
		d.backend.NoteOperation(request.Context(), "dashboard-home")
		http.Redirect(w, request, Root, http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		d.backend.NoteOperation(request.Context(), "dashboard-other")
		d.showPageError(w, request, nil, newNotFoundPageError())
	})
	return mux
}
