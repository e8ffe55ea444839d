// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

const publishDescription = `Needs the right to ` + "`publish`" + ` the event type in the namespace. The first attempt is made before anything is stored; the answer is 202 once every delivery is delivered (succeeded) or durable (pending, retrying). The header Prefer says how long to wait for endpoints: wait=N seconds (RFC 7240), or respond-async.

With an id (the member id, or the header Idempotency-Key) publishing is idempotent: while a delivery of the event exists, the same id makes no second one. After any error that names an event_id, repeat with that id.

A CloudEvent (1.0) is taken in structured mode, in binary mode (attributes in headers Ce-*, the body is data, application/json) and as a batch of at most 100, which answers for each event. Its event id is ce_ and a hash of source and id, its type the event type, its time the timestamp, its data must be a JSON object; the extension traceparent is kept, all other attributes are dropped.`

// describePublish documents the bodies of the operation, which its handler reads without
// huma. It must follow huma.Register, which would validate bodies by this schema.
func describePublish(document *huma.OpenAPI) {
	operation := document.Paths["/v1/events"].Post
	schemas := document.Components.Schemas
	refer := func(of reflect.Type) *huma.Schema { return schemas.Schema(of, true, "") }
	cloudEvent := cloudEventSchema()
	operation.RequestBody = &huma.RequestBody{
		Description: "One event, or a batch of CloudEvents. In binary mode the body is the data of the CloudEvent, or empty.",
		Content: map[string]*huma.MediaType{
			mediaJSON:       {Schema: refer(reflect.TypeFor[rest.EventPublish]())},
			mediaCloudEvent: {Schema: cloudEvent},
			mediaCloudEventBatch: {Schema: &huma.Schema{
				Type: huma.TypeArray, Items: cloudEvent, MaxItems: new(maxBatchItems),
			}},
		},
	}
	batch := refer(reflect.TypeFor[rest.BatchPublished]())
	accepted := operation.Responses["202"]
	accepted.Description = "Every delivery is delivered or durable; of a batch, those of every event"
	accepted.Content = map[string]*huma.MediaType{
		mediaJSON: {Schema: &huma.Schema{OneOf: []*huma.Schema{refer(reflect.TypeFor[rest.Published]()), batch}}},
	}
	operation.Responses["207"] = &huma.Response{
		Description: "Of a batch, not every event is published; each has its own status",
		Headers:     accepted.Headers,
		Content:     map[string]*huma.MediaType{mediaJSON: {Schema: batch}},
	}
}

func cloudEventSchema() *huma.Schema {
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, MinLength: new(1), Description: description}
	}
	timestamp := text("When it happened (RFC 3339): the timestamp of the event")
	timestamp.Format = "date-time"
	return &huma.Schema{
		Type: huma.TypeObject, Description: "A CloudEvent in the JSON format",
		Required:             []string{attributeSpecVersion, attributeID, attributeSource, attributeType},
		AdditionalProperties: true,
		Properties: map[string]*huma.Schema{
			attributeSpecVersion: {Type: huma.TypeString, Enum: []any{"1.0"}},
			attributeID:          text("Identifies the event together with source"),
			attributeSource:      text("A URI reference"),
			attributeType:        text("Event type"),
			attributeTime:        timestamp,
			attributeContentType: text("application/json, or unset"),
			attributeTraceParent: text("W3C Trace Context of the publisher"),
			memberData:           {Type: huma.TypeObject, AdditionalProperties: true, Description: "The member data of the event; {} if unset"},
		},
	}
}
