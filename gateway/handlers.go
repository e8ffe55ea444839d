// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"net/netip"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// handlers serve the operations of the REST API, a type for each part of it. With the zero value the operations can be
// registered, and every request fails.
type handlers struct {
	access   *access
	reader   *webhookReader
	changer  *webhookChanger
	creator  *webhookCreator
	rotator  *webhookRotator
	tester   *webhookTester
	delivery *deliveryHandlers
	event    *eventHandlers
}

// access finds out who calls and what they may.
type access struct {
	authenticator *auth.Authenticator
	authorizer    *auth.Authorizer
	staleness     *store.Staleness
}

// webhookReader serves webhooks as they are.
type webhookReader struct {
	*access

	webhooks   *store.WebhookIndex
	eventTypes *store.EventTypeIndex
}

// webhookChanger changes and deletes webhooks, with the caller's token.
type webhookChanger struct {
	*webhookReader

	client       client.Client // with the gateway's own rights
	callerClient client.Client
	dispatcher   Dispatcher
	forbidden    func() []netip.Prefix
	now          func() time.Time
}

// webhookCreator creates webhooks with their secrets, with the caller's token.
type webhookCreator struct {
	*webhookChanger

	random io.Reader
}

// webhookRotator rotates secrets, with the caller's token.
type webhookRotator struct {
	*webhookChanger

	random io.Reader
}

// webhookTester sends test events.
type webhookTester struct {
	*webhookReader

	publisher *publish.Publisher
	now       func() time.Time
}

// deliveryHandlers serve deliveries, and have them attempted again.
type deliveryHandlers struct {
	*access

	client       client.Client // with the gateway's own rights
	callerClient client.Client
	webhooks     *store.WebhookIndex
	deliveries   *store.DeliveryIndex
	reads        *publish.NamespaceSemaphore // of deliveries with their payloads
	now          func() time.Time
}

// eventHandlers serve the catalogue, and publish events.
type eventHandlers struct {
	*access

	eventTypes *store.EventTypeIndex
	publisher  *publish.Publisher
	metrics    *Metrics
	panics     *panics.Guard
}

func newHandlers(o Options, users *access, callers client.Client, objects *store.Store, publisher *publish.Publisher) handlers {
	reader := &webhookReader{access: users, webhooks: objects.Webhooks, eventTypes: objects.EventTypes}
	changer := &webhookChanger{
		webhookReader: reader, client: o.Client, callerClient: callers,
		dispatcher: o.Dispatcher, forbidden: o.Forbidden, now: o.Now,
	}
	return handlers{
		access: users, reader: reader, changer: changer,
		creator: &webhookCreator{webhookChanger: changer, random: o.Random},
		rotator: &webhookRotator{webhookChanger: changer, random: o.Random},
		tester:  &webhookTester{webhookReader: reader, publisher: publisher, now: o.Now},
		delivery: &deliveryHandlers{
			access: users, client: o.Client, callerClient: callers, webhooks: objects.Webhooks, deliveries: objects.Deliveries,
			reads: publish.NewNamespaceSemaphore(readBytesAtOnce, o.Now), now: o.Now,
		},
		event: &eventHandlers{access: users, eventTypes: objects.EventTypes, publisher: publisher, metrics: o.Metrics, panics: o.Panics},
	}
}
