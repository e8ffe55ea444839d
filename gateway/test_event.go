// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// testEvent is an event for one webhook only, whatever events it wants. Its payload is checked.
type testEvent struct {
	webhook     *v1alpha1.Webhook
	eventType   string
	payload     []byte
	accepted    time.Time
	publishedBy string
}

// publishTest stores the delivery of a test event. It fills the backlog like any event, and an error says so if it
// cannot.
func (p *publisher) publishTest(ctx context.Context, event testEvent) (*store.DeliveryEntry, error) {
	webhook, bytes := event.webhook, len(event.payload)
	eventID, err := p.check.eventIDs.generate("test_")
	if err != nil {
		return nil, err
	}
	r := p.reserve
	if refused := r.writes.check(webhook.Namespace); refused != nil {
		return nil, refused
	}
	decision := r.deliveries.Reserve(r.limits, webhook.Namespace, int64(bytes), []store.QuotaRequest{
		{Webhook: webhook.Name, WebhookID: store.WebhookID(webhook), RefuseIfFull: true},
	})
	if decision.Refused != nil {
		return nil, decision.Refused
	}
	defer r.deliveries.Release(webhook.Namespace, webhook.Name, int64(bytes))
	reserved, refused := r.writes.reserve(webhook.Namespace, bytes, 1)
	if refused != nil {
		return nil, refused
	}
	defer reserved[0].release()
	return p.store.objects.createDelivery(ctx, deliveryDraft{
		webhook: webhook, eventID: eventID, eventType: event.eventType, payload: event.payload,
		accepted: event.accepted, publishedBy: event.publishedBy, test: true, reservation: reserved[0],
	})
}
