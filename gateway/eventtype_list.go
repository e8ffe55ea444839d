// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

type eventTypesAnswer struct {
	Body rest.EventTypeList
}

func (g *Gateway) registerEventTypeList(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-event-types", Method: http.MethodGet, Path: "/v1/event-types", Tags: []string{"Event types"},
		Summary: "List the catalogue", Description: "Any valid token may.",
	}, g.listEventTypes)
}

func (g *Gateway) listEventTypes(context.Context, *struct{}) (*eventTypesAnswer, error) {
	answer := &eventTypesAnswer{Body: rest.EventTypeList{Data: []rest.EventType{}}}
	for _, entry := range g.eventTypes.list() {
		answer.Body.Data = append(answer.Body.Data, rest.EventType{
			Type: entry.eventType, Description: orNull(entry.description),
			Schema: entry.shownSchema, Example: entry.shownExample,
		})
	}
	return answer, nil
}

// jsonOrNull returns a JSON text of an EventType; null for invalid JSON and for more
// levels than clients can be expected to read. The EventType's condition reports both.
func jsonOrNull(text string) json.RawMessage {
	if !payload.IsShallow([]byte(text)) || !utf8.ValidString(text) {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}
