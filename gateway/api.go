// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	jsonv2 "github.com/go-json-experiment/json"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// NewAPI registers every operation of the REST API. With a zero Gateway it
// serves nobody, but its OpenAPI document is whole.
func NewAPI(mux *http.ServeMux, g *Gateway) huma.API {
	huma.NewErrorWithContext = problemFromHuma
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return problemFromHuma(nil, status, message, errs...)
	}
	config := huma.DefaultConfig("BB-MCP Webhooks", "v1")
	config.Info.Description = "Outbound webhooks: declare endpoints, publish events, follow deliveries."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.CreateHooks = nil
	config.DocsPath, config.SchemasPath = "", ""
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "Token of a Kubernetes ServiceAccount, of the API server's own audience; for publishing and reading also one of the audience bbmcp alone"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.OnAddOperation = append(config.OnAddOperation, func(_ *huma.OpenAPI, operation *huma.Operation) {
		// requestBody bounds both. A deadline of huma's would go on while the handler works.
		operation.BodyReadTimeout, operation.MaxBodyBytes = -1, -1
	})
	api := humago.New(mux, config)
	api.OpenAPI().Components.Schemas.RegisterTypeAlias(reflect.TypeFor[problem](), reflect.TypeFor[rest.Problem]())
	api.UseMiddleware(g.authenticateRequest)
	for _, register := range []func(huma.API){
		g.registerWebhookList, g.registerWebhookCreate, g.registerWebhookUpdate, g.registerWebhookActions, g.registerWebhookRotate, g.registerWebhookTestEvent,
		g.registerDeliveryList, g.registerDeliveryRetry, g.registerEventTypeList, g.registerEventPublish,
	} {
		register(api)
	}
	allowMoreMembers(api.OpenAPI())
	allowNullMember(api.OpenAPI().Components.Schemas.Map()["Webhook"], "problem")
	return api
}

// allowNullMember says of a member that is an object that it may be null, which huma
// cannot say of one.
func allowNullMember(schema *huma.Schema, member string) {
	object := schema.Properties[member]
	schema.Properties[member] = &huma.Schema{
		Description: object.Description,
		AnyOf:       []*huma.Schema{{Ref: object.Ref}, {Type: "null"}},
	}
}

// allowMoreMembers says of everything but what callers send that it may get more
// members: clients must pass over those that they do not know.
func allowMoreMembers(document *huma.OpenAPI) {
	requestSchemas := map[*huma.Schema]bool{}
	var markSent func(*huma.Schema)
	markSent = func(schema *huma.Schema) {
		if schema.Ref != "" {
			schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
		}
		if requestSchemas[schema] {
			return
		}
		requestSchemas[schema] = true
		for _, member := range schema.Properties {
			markSent(member)
		}
	}
	for _, path := range document.Paths {
		for _, operation := range []*huma.Operation{path.Post, path.Put, path.Patch} {
			if operation == nil || operation.RequestBody == nil {
				continue
			}
			for _, content := range operation.RequestBody.Content {
				markSent(content.Schema)
			}
		}
	}
	for _, schema := range document.Components.Schemas.Map() {
		if !requestSchemas[schema] && schema.Type == huma.TypeObject {
			schema.AdditionalProperties = true
		}
	}
}

// authenticateRequest lets in whoever has a token that the API server knows.
func (g *Gateway) authenticateRequest(ctx huma.Context, next func(huma.Context)) {
	request, w := humago.Unwrap(ctx)
	n := requestInfoOf(request.Context())
	n.operation = ctx.Operation().OperationID
	caller, p := g.authenticateHeader(request)
	if stale, ok := errors.AsType[*problem](g.checkStaleness()); ok && p == nil {
		p = stale
	}
	if p != nil {
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
		return
	}
	n.user = caller.name()
	n.body.setOwner(caller)
	if p := refuseAmbiguous(request); p != nil {
		logProblem(request.Context(), p)
		p.write(w, p.RequestID)
		return
	}
	next(huma.WithValue(ctx, callerKey{}, caller))
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

// failRequest is how every handler ends that has an error.
func failRequest(ctx context.Context, err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = internalProblem(err)
	}
	logProblem(ctx, p)
	return p
}
