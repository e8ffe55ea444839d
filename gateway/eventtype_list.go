// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

type eventTypesAnswer struct {
	Body rest.EventTypeList
}

func (h *eventHandlers) registerEventTypeList(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-event-types", Method: http.MethodGet, Path: "/v1/event-types", Tags: []string{"Event types"},
		Summary: "List the catalogue", Description: "Any valid token may.",
	}, h.listEventTypes)
}

func (h *eventHandlers) listEventTypes(context.Context, *struct{}) (*eventTypesAnswer, error) {
	answer := &eventTypesAnswer{Body: rest.EventTypeList{Data: []rest.EventType{}}}
	for _, entry := range h.eventTypes.List() {
		answer.Body.Data = append(answer.Body.Data, rest.EventType{
			Type: entry.EventType, Description: nullableText(entry.Description),
			Schema: entry.ShownSchema, Example: entry.ShownExample,
		})
	}
	return answer, nil
}
