// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// TestEvent is an event for one webhook only, whatever events it wants. Its payload is checked.
type TestEvent struct {
	Webhook     *v1alpha1.Webhook
	EventType   string
	Payload     []byte
	Accepted    time.Time
	PublishedBy string
}

// PublishTest stores the delivery of a test event. It fills the backlog like any event, and an error says so if it
// cannot.
func (p *Publisher) PublishTest(ctx context.Context, event TestEvent) (*store.DeliveryEntry, error) {
	webhook, bytes := event.Webhook, len(event.Payload)
	eventID, err := p.check.eventIDs.generate("test_")
	if err != nil {
		return nil, err
	}
	r := p.reserve
	if refused := r.writes.check(webhook.Namespace); refused != nil {
		return nil, refused
	}
	decision := r.deliveries.ReserveQuota(r.limits, webhook.Namespace, int64(bytes), []store.QuotaRequest{
		{Webhook: webhook.Name, WebhookID: store.WebhookID(webhook), RefuseIfFull: true},
	})
	if decision.Refused != nil {
		return nil, decision.Refused
	}
	defer r.deliveries.ReleaseQuota(webhook.Namespace, webhook.Name, int64(bytes))
	reserved, refused := r.writes.reserve(webhook.Namespace, bytes, 1)
	if refused != nil {
		return nil, refused
	}
	defer reserved[0].release()
	return p.store.objects.createDelivery(ctx, deliveryDraft{
		webhook: webhook, eventID: eventID, eventType: event.EventType, payload: event.Payload,
		accepted: event.Accepted, publishedBy: event.PublishedBy, test: true, reservation: reserved[0],
	})
}
