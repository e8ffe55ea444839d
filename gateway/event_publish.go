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
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// publishTimeout is how long one request may take to store its deliveries where writes are quick, in addition to the
// wait for first attempts; both together stay well below --drain-grace.
const publishTimeout = 15 * time.Second

type publishAnswer struct {
	Status     int
	Applied    string `header:"Preference-Applied" doc:"What of the header Prefer was heeded: respond-async, or wait=N"`
	Vary       string `header:"Vary" doc:"Prefer"`
	RetryAfter string `header:"Retry-After" doc:"Seconds; set if an event of a batch may be repeated"`
	Body       any
}

// publishEvents is POST /v1/events.
func (h *eventHandlers) publishEvents(ctx context.Context, in *PublishRequest) (*publishAnswer, error) {
	publisher, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	as, err := in.detectFormat()
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if as == formatBinary {
		if err := h.permitPublishByHeader(ctx, in, publisher, namespace); err != nil {
			return nil, failWithProblem(ctx, err)
		}
	}
	limit := int64(maxEventBytes)
	if as == formatBatch {
		limit = maxBatchBytes
	}
	if err := h.refuseLargePublish(ctx, in, publisher, namespace, limit); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	body, err := in.readBody(ctx, limit)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	prefer := parsePrefer(in.request.Header, h.publisher.DefaultWait())
	ctx, cancel := context.WithTimeout(ctx, h.publishTime(namespace)+prefer.wait)
	defer cancel()
	answer := &publishAnswer{Status: http.StatusAccepted, Applied: prefer.applied, Vary: "Prefer"}
	if as == formatBatch {
		if err := h.publishBatch(ctx, in, batchPublisher{handlers: h, caller: publisher, namespace: namespace, preference: prefer}, body, answer); err != nil {
			return nil, failWithProblem(ctx, err)
		}
		return answer, nil
	}
	event, err := in.parseEvent(as, body)
	if err != nil {
		h.metrics.publish.Published(publish.OutcomeRefused)
		return nil, failWithProblem(ctx, err)
	}
	published, err := h.publisher.Publish(ctx, publish.Request{Caller: publisher, Namespace: namespace, Event: event, Wait: prefer.wait})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	answer.Body = presentPublished(published)
	return answer, nil
}

func presentPublished(result *publish.Result) *rest.Published {
	published := &rest.Published{EventID: result.EventID, Deliveries: presentPublishedDeliveries(result.Deliveries), Skipped: []rest.SkippedWebhook{}}
	for _, each := range result.Skipped {
		published.Skipped = append(published.Skipped, rest.SkippedWebhook{WebhookID: store.WebhookID(each.Webhook), Reason: each.Reason})
	}
	return published
}

func presentPublishedDeliveries(deliveries []*store.DeliveryEntry) []rest.PublishedDelivery {
	all := []rest.PublishedDelivery{}
	for _, r := range deliveries {
		all = append(all, rest.PublishedDelivery{DeliveryID: r.ID, WebhookID: identity.WebhookID(r.Namespace, r.Webhook), Status: presentDeliveryState(r.State)})
	}
	return all
}

// refuseLargePublish refuses a large body while the byte budget of the caller's namespace is used up: keeping and
// checking it costs more than reading it away. Callers of other namespaces are asked for their rights first.
func (h *eventHandlers) refuseLargePublish(ctx context.Context, in *PublishRequest, publisher *auth.Caller, namespace string, limit int64) error {
	if in.request.ContentLength <= smallBody || in.request.ContentLength > limit || publisher.Namespace != namespace {
		return nil
	}
	refused := h.publisher.CheckBytes(namespace)
	if refused == nil {
		return nil
	}
	h.metrics.publish.Published(publish.OutcomeRefused)
	requestInfoOf(ctx).body.discard()
	return refused
}

// publishTime is how long a request may take to store its deliveries: longer where writes take long.
func (h *eventHandlers) publishTime(namespace string) time.Duration {
	return publishTimeout + h.publisher.WriteTimeout(namespace) - writetimeout.Min
}

// permitPublishByHeader checks the right to publish an event whose attributes are in the header, before any of the body
// is read.
func (h *eventHandlers) permitPublishByHeader(ctx context.Context, in *PublishRequest, publisher *auth.Caller, namespace string) error {
	event, err := in.parseEvent(formatBinary, nil)
	if err != nil {
		h.metrics.publish.Published(publish.OutcomeRefused)
		return err
	}
	return h.requireRight(ctx, publisher, auth.Right{Verb: auth.VerbPublish, Resource: auth.EventTypes, Namespace: namespace, Name: event.Type})
}

func (h *eventHandlers) registerEventPublish(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "publish-event", Method: http.MethodPost, Path: "/v1/events", Tags: []string{"Events"},
		Summary: "Publish an event to every webhook that wants it", Description: publishDescription,
		DefaultStatus: http.StatusAccepted,
	}, h.publishEvents)
	describePublish(api.OpenAPI())
}
