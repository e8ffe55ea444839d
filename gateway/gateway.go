// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-logr/logr"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/mirror"
)

// Dispatcher is the sidecar, as far as the gateway needs it.
type Dispatcher interface {
	// CheckURL says whether a URL may be an endpoint; see dispatcher.Client.
	CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error
}

// Options are what a Gateway is made of.
type Options struct {
	// Config reaches the API server with the gateway's own rights.
	Config *rest.Config
	// Client does so for objects; its scheme knows the kinds of this project,
	// Secrets and EndpointSlices.
	Client     client.WithWatch
	Dispatcher Dispatcher
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	// Namespaces are those that may be read; empty: all.
	Namespaces []string
	// Limits bound the backlog.
	Limits Limits
	// AllowUnregistered accepts events whose type is not in the catalogue.
	AllowUnregistered bool
	Metrics           *Metrics
	Logger            *slog.Logger
	Now               func() time.Time
	// Random makes ids and secrets: crypto/rand.Reader.
	Random io.Reader
	// Version stands in the OpenAPI document.
	Version string
}

// Gateway serves the REST API. Make it with New, start its mirrors with Start,
// and serve Handler.
type Gateway struct {
	client        client.WithWatch
	callers       client.Client
	authenticator authenticator.Token
	authorizer    authorizer.Authorizer
	dispatcher    Dispatcher
	forbidden     func() []netip.Prefix
	namespaces    []string
	limits        Limits
	unregistered  bool
	metrics       *Metrics
	logger        *slog.Logger
	now           func() time.Time
	random        io.Reader
	version       string

	endpoints  *endpoints
	deliveries *ledger
	catalogue  *catalogue
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks;eventtypes,verbs=get;list;watch
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list,namespace=default

// New makes a gateway that knows nothing yet.
func New(o Options) (*Gateway, error) {
	clients, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("set up gateway: %w", err)
	}
	authorize, err := newAuthorizer(clients.AuthorizationV1())
	if err != nil {
		return nil, err
	}
	callers, err := newCallerClient(o.Config, o.Client.Scheme())
	if err != nil {
		return nil, err
	}
	return &Gateway{
		client: o.Client, callers: callers,
		authenticator: newAuthenticator(clients.AuthenticationV1().TokenReviews()), authorizer: authorize,
		dispatcher: o.Dispatcher, forbidden: o.Forbidden, namespaces: o.Namespaces, limits: o.Limits,
		unregistered: o.AllowUnregistered, metrics: o.Metrics, logger: o.Logger, now: o.Now, random: o.Random, version: o.Version,
		endpoints: newEndpoints(o.Now), deliveries: newLedger(o.Now), catalogue: newCatalogue(o.Now),
	}, nil
}

// Start follows the API server in the background until ctx ends.
func (g *Gateway) Start(ctx context.Context) {
	ctx = logr.NewContextWithSlogLogger(ctx, g.logger)
	source := mirror.Source{Client: g.client, Namespaces: g.namespaces}
	source.List, source.Example = &v1alpha1.WebhookList{}, &v1alpha1.Webhook{}
	g.endpoints.Start(ctx, source)
	source.List, source.Example = &v1alpha1.WebhookDeliveryList{}, &v1alpha1.WebhookDelivery{}
	g.deliveries.Start(ctx, source)
	g.catalogue.Start(ctx, mirror.Source{Client: g.client, List: &v1alpha1.EventTypeList{}, Example: &v1alpha1.EventType{}})
}

// errNotSynced says what a gateway that has just started waits for.
var errNotSynced = errors.New("webhooks, deliveries and event types are still being read")

// Ready returns nil once everything is in memory.
func (g *Gateway) Ready() error {
	if !g.endpoints.Synced() || !g.deliveries.Synced() || !g.catalogue.Synced() {
		return errNotSynced
	}
	return nil
}

// Handler serves the REST API, its OpenAPI document and the probes. drain
// reports whether the process is about to end.
func (g *Gateway) Handler(draining func() bool) http.Handler {
	mux := http.NewServeMux()
	NewAPI(mux, g)
	mux.HandleFunc("GET /healthz", g.probe(func() error { return nil }))
	mux.HandleFunc("GET /readyz", g.probe(func() error {
		if draining() {
			return errors.New("this replica is about to end")
		}
		return g.Ready()
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		p := newProblem(http.StatusNotFound, reasonNotFound, "there is nothing at this path with this method; /openapi.json lists what there is")
		noteProblem(request.Context(), p)
		p.write(w, p.RequestID)
	})
	return g.logged(mux)
}

func (g *Gateway) probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		note(request.Context()).operation = "probe"
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	}
}

// NewAPI registers every operation of the REST API. With a zero Gateway it
// serves nobody, but its OpenAPI document is whole.
func NewAPI(mux *http.ServeMux, g *Gateway) huma.API {
	huma.NewErrorWithContext = fromHuma
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return fromHuma(nil, status, message, errs...)
	}
	config := huma.DefaultConfig("BB-MCP Webhooks", g.version)
	config.Info.Description = "Outbound webhooks: declare endpoints, publish events, follow deliveries."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.CreateHooks = nil
	config.DocsPath, config.SchemasPath = "", ""
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "Token of a Kubernetes ServiceAccount, of the API server's own audience"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(mux, config)
	api.UseMiddleware(g.authenticated)
	for _, register := range []func(huma.API){
		g.registerWebhooks, g.registerDeliveries, g.registerEventTypes,
	} {
		register(api)
	}
	return api
}

// authenticated lets in whoever has a token that the API server knows.
func (g *Gateway) authenticated(ctx huma.Context, next func(huma.Context)) {
	request, w := humago.Unwrap(ctx)
	n := note(request.Context())
	n.operation = ctx.Operation().OperationID
	who, p := g.identify(request)
	if p == nil && g.Ready() != nil {
		p = unavailable("this", errNotSynced)
	}
	if p != nil {
		noteProblem(request.Context(), p)
		p.write(w, p.RequestID)
		return
	}
	n.user = who.user.GetName()
	next(huma.WithValue(ctx, callerKey{}, who))
}

// jsonFormat is strict in what it reads (no member twice, no invalid UTF-8) and
// leaves < > & as they are in what it writes.
var jsonFormat = huma.Format{ //nolint:gochecknoglobals // never changed
	Marshal: func(w io.Writer, value any) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	},
	Unmarshal: func(data []byte, value any) error { return jsonv2.Unmarshal(data, value) },
}

// fail is how every handler ends that has an error.
func fail(ctx context.Context, err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = newProblem(http.StatusInternalServerError, reasonInternal, "something is wrong with the gateway; its log tells more, under the request id")
		p.cause = err
	}
	noteProblem(ctx, p)
	return p
}
