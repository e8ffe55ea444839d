// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// Dispatcher is the part of the dispatcher sidecar's client that the gateway uses.
type Dispatcher interface {
	// CheckURL says whether a URL may be an endpoint; see dispatcher.Client.
	CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error
	// Start makes one attempt; see dispatcher.Client.
	Start(request dispatcher.Request, done func(dispatcher.Result, error))
}

// Options are the dependencies and settings of a Gateway.
type Options struct {
	// Config reaches the API server with the gateway's own rights.
	Config *rest.Config
	// Client reaches objects with the gateway's own rights; its scheme knows the kinds of
	// this project, Secrets and EndpointSlices.
	Client     client.WithWatch
	Dispatcher Dispatcher
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	// Namespaces are the namespaces that the gateway reads; empty: all.
	Namespaces []string
	// Tokens finds out whose a token is, Rights what a caller may do.
	Tokens *authn.Reviewer
	Rights *authz.Authorizer
	// TrustedProxies are the proxies whose forwarding headers are believed.
	TrustedProxies httpserver.Proxies
	// Limits bound the backlog.
	Limits store.BacklogLimits
	// BodyBytes bounds the bytes of request bodies that are in memory at a time.
	BodyBytes int64
	// AllowUnregistered accepts events whose type is not in the catalogue.
	AllowUnregistered bool
	// Dashboard serves the HTML pages as well.
	Dashboard bool
	// First configures first attempts.
	First publish.FirstAttempts
	// Skipped is the ConfigMap in which skipped deliveries are reported to the manager;
	// without a namespace nothing is reported. Replica is this gateway's key in it.
	Skipped client.ObjectKey
	Replica string
	// Tracer makes a span for each event; nil: none.
	Tracer  *tracing.Tracer
	Metrics *Metrics
	// Panics recovers a panic and confines it to one request, event, delivery or object.
	Panics *panics.Guard
	Logger *slog.Logger
	// AccessLog gets one line for each request.
	AccessLog *slog.Logger
	Now       func() time.Time
	// Random makes ids and secrets: crypto/rand.Reader.
	Random io.Reader
}

// Gateway serves the REST API. Make it with New, start its caches with Start,
// and serve Handler.
type Gateway struct {
	handlers    handlers
	requests    *requestLogger
	store       *store.Store
	publisher   *publish.Publisher
	broadcaster *broadcaster
	dashboard   *dashboard.Dashboard // nil: there is none
	panics      *panics.Guard
	logger      *slog.Logger

	background sync.WaitGroup
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks;eventtypes,verbs=get;list;watch
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries/status,verbs=update
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:urls=/.well-known/openid-configuration;/openid/v1/jwks,verbs=get
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list,namespace=default

// New makes a gateway whose watches have not started.
func New(o Options) (*Gateway, error) {
	callers, err := auth.NewCallerClient(o.Config, o.Client.Scheme())
	if err != nil {
		return nil, err
	}
	objects := store.New(store.Options{
		Client: o.Client, Namespaces: o.Namespaces, AllowUnregistered: o.AllowUnregistered, Panics: o.Panics, Now: o.Now,
	})
	users := &access{authenticator: auth.NewAuthenticator(o.Tokens), authorizer: auth.NewAuthorizer(o.Rights), staleness: objects.Staleness}
	publisher := publish.New(publish.Options{
		Client: o.Client, Sender: o.Dispatcher, Forbidden: o.Forbidden, Namespaces: o.Namespaces, Limits: o.Limits,
		First: o.First, Skipped: o.Skipped, Replica: o.Replica,
		Store: objects, RequireRight: users.requireRight,
		Tracer: o.Tracer, Metrics: o.Metrics.publish, Panics: o.Panics, Logger: o.Logger, Now: o.Now, Random: o.Random,
	})
	g := &Gateway{
		handlers: newHandlers(o, users, callers, objects, publisher),
		requests: &requestLogger{
			proxies: o.TrustedProxies, bodies: newBodyQuota(o.BodyBytes, o.Now), metrics: o.Metrics, panics: o.Panics, accessLog: o.AccessLog, now: o.Now,
		},
		store: objects, publisher: publisher, broadcaster: newBroadcaster(), panics: o.Panics, logger: o.Logger,
	}
	objects.Webhooks.OnChange(func(webhook *v1alpha1.Webhook) { g.broadcaster.notify(webhook.Namespace, webhook.Name, "") })
	objects.Deliveries.OnChange(func(r *store.DeliveryEntry, _ bool) { g.broadcaster.notify(r.Namespace, r.Webhook, r.ID) })
	if o.Dashboard {
		if g.dashboard, err = newDashboard(g, o); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Close ends the live connections of the dashboard, which have no end of their own.
func (g *Gateway) Close() {
	if g.dashboard != nil {
		g.dashboard.Close()
	}
}

// Start follows the API server in the background until ctx ends.
func (g *Gateway) Start(ctx context.Context) {
	ctx = logr.NewContextWithSlogLogger(ctx, g.logger)
	g.store.Start(ctx)
	go g.handlers.access.authenticator.ReadKeys(ctx)
	go g.keepAlive(ctx)
	g.background.Go(func() { g.publisher.Run(ctx) })
}

// keepAlive drops the state of deleted webhooks and keeps the watches from going stale, until ctx ends.
func (g *Gateway) keepAlive(ctx context.Context) {
	tick := time.NewTicker(store.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = g.panics.Do(panics.Background, g.publisher.Sweep)
		g.store.Staleness.Beat(ctx)
	}
}

// Ready returns nil once everything is in memory.
func (g *Gateway) Ready() error { return g.store.Staleness.CheckSynced() }

// Drain waits until every first attempt that was handed over is settled. Call it
// once no request is under way; an error says that ctx ended first, and the
// controller goes on with them.
func (g *Gateway) Drain(ctx context.Context) error {
	settled := make(chan struct{})
	go func() {
		g.publisher.AwaitSettled()
		close(settled)
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("first attempts are still out, the controller takes over: %w", ctx.Err())
	}
}

// Wait returns once the context of Start has ended and the recorder and the skip reporter
// have written what they held.
func (g *Gateway) Wait() { g.background.Wait() }

// Handler serves the REST API, its OpenAPI document and the probes. extraCheck is one more
// readiness check.
func (g *Gateway) Handler(extraCheck func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	NewAPI(mux, g)
	if g.dashboard != nil {
		mux.Handle(strings.TrimSuffix(dashboard.Root, "/"), g.dashboard)
		mux.Handle(dashboard.Root, g.dashboard)
	}
	mux.HandleFunc("GET /healthz", gatewayProbe(func(context.Context) error { return nil }))
	mux.HandleFunc("GET /readyz", gatewayProbe(func(ctx context.Context) error {
		if err := g.Ready(); err != nil {
			return err
		}
		return extraCheck(ctx)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		p := newProblem(http.StatusNotFound, reasonNotFound, "there is nothing at this path with this method; /openapi.json lists what there is")
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
	})
	return g.requests.logRequests(requireTransportSecurity(refuseEmptyPathSegments(mux)))
}

func gatewayProbe(check func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		requestInfoOf(request.Context()).operation = "probe"
		if err := check(request.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	}
}

// Backlog is the number of unfinished deliveries of all namespaces and the bytes of their payloads, as far as this
// replica knows.
func (g *Gateway) Backlog() (deliveries int, bytes int64) {
	return g.store.Deliveries.CountUnfinished()
}
