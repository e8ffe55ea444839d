// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	jsonv2 "github.com/go-json-experiment/json"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// NewAPI registers every operation of the REST API. With a zero Gateway the OpenAPI
// document is complete, but every request fails.
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
	h := g.handlers
	api.UseMiddleware(h.access.authenticateRequest)
	for _, register := range []func(huma.API){
		h.reader.registerWebhookList, h.creator.registerWebhookCreate, h.changer.registerWebhookUpdate, h.changer.registerWebhookActions,
		h.rotator.registerWebhookRotate, h.tester.registerWebhookTestEvent,
		h.delivery.registerDeliveryList, h.delivery.registerDeliveryRetry, h.event.registerEventTypeList, h.event.registerEventPublish,
	} {
		register(api)
	}
	allowMoreMembers(api.OpenAPI())
	allowNullMember(api.OpenAPI().Components.Schemas.Map()["Webhook"], "problem")
	return api
}

// jsonFormat reads strictly (a repeated member or invalid UTF-8 is an error) and writes <
// > & unescaped.
var jsonFormat = huma.Format{ //nolint:gochecknoglobals // never changed
	Marshal: func(w io.Writer, value any) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	},
	Unmarshal: func(data []byte, value any) error { return jsonv2.Unmarshal(data, value) },
}
