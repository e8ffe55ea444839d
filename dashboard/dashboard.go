// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"net/http"
	"sync"
	"time"
)

// Root is where the dashboard is.
const Root = "/dashboard/"

// Options are what a Dashboard is made of.
type Options struct {
	// API serves the REST API.
	API     http.Handler
	Backend Backend
	// IsSecure says whether a request came over TLS, to us or to a proxy of ours.
	IsSecure func(*http.Request) bool
	Now      func() time.Time
	// MaxStreams bounds the live pages of everybody, and CallerStreams those of
	// one caller; pages beyond that ask again every few seconds. 0: 500 and 20.
	MaxStreams, CallerStreams int
}

// Dashboard serves everything under Root.
type Dashboard struct {
	api      http.Handler
	backend  Backend
	secure   func(*http.Request) bool
	now      func() time.Time
	assets   *assets
	pages    map[string]*template.Template
	streams  *streams
	handler  http.Handler
	ended    chan struct{}
	endOnce  sync.Once
	interval time.Duration // between two messages of a stream, at least
}

// New reads the templates. It starts nothing.
func New(o Options) (*Dashboard, error) {
	d := &Dashboard{
		api: o.API, backend: o.Backend, secure: o.IsSecure, now: o.Now, ended: make(chan struct{}), interval: time.Second,
		streams: newStreams(o.MaxStreams, o.CallerStreams),
	}
	var err error
	if d.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("set up dashboard: %w", err)
	}
	if d.pages, err = parsePages(d.assets, d.now); err != nil {
		return nil, fmt.Errorf("set up dashboard: %w", err)
	}
	d.handler = d.guarded(d.routes())
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	d.handler.ServeHTTP(w, request)
}

// Close ends the live pages' streams, so that the server can shut down.
func (d *Dashboard) Close() { d.endOnce.Do(func() { close(d.ended) }) }

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dashboard/assets/{file}", d.serveAsset)
	mux.HandleFunc("GET /dashboard/sign-in", d.showSignIn)
	mux.HandleFunc("POST /dashboard/sign-in", d.signIn)
	mux.HandleFunc("POST /dashboard/sign-out", d.signOut)
	page := func(pattern, operation string, serve func(*visit) error) {
		mux.HandleFunc(pattern, d.visited("dashboard-"+operation, serve))
	}
	page("GET /dashboard/{$}", "home", (*visit).home)
	const namespace = "/dashboard/ns/{namespace}"
	page("GET "+namespace+"/{$}", "overview", (*visit).overview)
	page("GET "+namespace+"/live", "live", (*visit).live)
	page("GET "+namespace+"/event-types", "event-types", (*visit).eventTypes)
	page("GET "+namespace+"/webhooks", "webhooks", (*visit).webhooks)
	page("POST "+namespace+"/webhooks", "create", (*visit).create)
	page("GET "+namespace+"/webhooks/new", "create", (*visit).newWebhook)
	page("GET "+namespace+"/webhooks/{id}", "webhook", (*visit).webhook)
	page("GET "+namespace+"/webhooks/{id}/edit", "edit", (*visit).showEdit)
	page("POST "+namespace+"/webhooks/{id}/edit", "edit", (*visit).edit)
	page("GET "+namespace+"/webhooks/{id}/test", "test", (*visit).showTest)
	page("POST "+namespace+"/webhooks/{id}/test", "test", (*visit).test)
	page("GET "+namespace+"/webhooks/{id}/rotate", "rotate", (*visit).showRotate)
	page("POST "+namespace+"/webhooks/{id}/rotate", "rotate", (*visit).rotate)
	page("GET "+namespace+"/webhooks/{id}/delete", "delete", (*visit).showDelete)
	page("POST "+namespace+"/webhooks/{id}/delete", "delete", (*visit).delete)
	page("POST "+namespace+"/webhooks/{id}/suspend", "suspend", (*visit).suspend)
	page("POST "+namespace+"/webhooks/{id}/resume", "resume", (*visit).resume)
	page("POST "+namespace+"/webhooks/{id}/enable", "enable", (*visit).enable)
	page("GET "+namespace+"/deliveries/{id}", "delivery", (*visit).delivery)
	page("GET "+namespace+"/deliveries/{id}/body", "body", (*visit).body)
	page("POST "+namespace+"/deliveries/{id}/retry", "retry", (*visit).retry)
	page("GET /dashboard/", "other", func(*visit) error { return nothingHere() })
	mux.HandleFunc("GET /dashboard", func(w http.ResponseWriter, request *http.Request) {
		d.backend.Note(request.Context(), "dashboard-home")
		http.Redirect(w, request, Root, http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		d.backend.Note(request.Context(), "dashboard-other")
		d.fail(w, request, nil, nothingHere())
	})
	return mux
}
