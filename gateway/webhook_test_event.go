// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// Reasons why a test event is not sent. They are API: never reworded.
const (
	reasonTypeNotRegistered = "EventTypeNotRegistered"
	reasonSchemaViolated    = "SchemaViolated"
	reasonSchemaTooCostly   = "SchemaTooCostly"
)

// TestWebhook is a request for a test event.
type TestWebhook struct {
	WebhookPath

	Body rest.WebhookTest
}

func (h *webhookTester) registerWebhookTestEvent(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/test", Tags: []string{"Webhooks"},
		DefaultStatus: http.StatusAccepted, Summary: "Send a test event to this webhook only",
		Description: "Sent also when the webhook is suspended or disabled, whatever events it wants, and not counted in its health. " +
			"It carries the header X-BBMCP-Test: true. Needs the verb publish on the event type, as publishing does.",
	}, h.testWebhook)
}

func (h *webhookTester) testWebhook(ctx context.Context, in *TestWebhook) (*acceptedAnswer, error) {
	caller, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if err := payload.ValidateEventType(in.Body.Event); err != nil {
		return nil, failWithProblem(ctx, problemFromPayload(err, nil))
	}
	if err := h.requireRight(ctx, caller, auth.Right{Verb: auth.VerbPublish, Resource: auth.EventTypes, Namespace: namespace, Name: in.Body.Event}); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	webhook := h.webhooks.FindByID(namespace, in.ID)
	if webhook == nil || !webhook.DeletionTimestamp.IsZero() {
		return nil, failWithProblem(ctx, notFoundProblem("webhook"))
	}
	now := h.now()
	body, err := h.buildTestPayload(ctx, &in.Body, now)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	sent, err := h.publisher.PublishTest(ctx, publish.TestEvent{Webhook: webhook, EventType: in.Body.Event, Payload: body, Accepted: now, PublishedBy: caller.Name()})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return &acceptedAnswer{presentDelivery(sent)}, nil
}

// buildTestPayload builds the payload of a test event from the given data, or from the
// event type's example.
func (h *webhookTester) buildTestPayload(ctx context.Context, test *rest.WebhookTest, now time.Time) ([]byte, error) {
	entry := h.eventTypes.Find(test.Event)
	if entry == nil && !h.eventTypes.AllowUnregistered {
		return nil, newFieldProblem(http.StatusUnprocessableEntity, reasonTypeNotRegistered, "event", test.Event+" is not in the catalogue; see GET /v1/event-types")
	}
	data := []byte(test.Data)
	if len(data) == 0 && entry != nil {
		data = []byte(entry.Example)
	}
	if len(data) == 0 {
		return nil, newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "data", "is needed, because the event type has no example")
	}
	body, err := payload.Build(test.Event, now, data)
	if err != nil {
		return nil, problemFromPayload(err, nil)
	}
	if entry == nil {
		return body, nil
	}
	return body, publish.CheckEventSchema(ctx, h.eventTypes, entry, body)
}
