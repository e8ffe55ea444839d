// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// Store is all that is in memory. It is empty until Start.
type Store struct {
	Webhooks   *WebhookIndex
	Deliveries *DeliveryIndex
	EventTypes *EventTypeIndex
	Staleness  *Staleness

	client     client.WithWatch
	namespaces []string
}

// Options are the dependencies and settings of a Store.
type Options struct {
	// Client reads with the gateway's own rights.
	Client client.WithWatch
	// Namespaces are the namespaces that are read; empty: all.
	Namespaces []string
	// AllowUnregistered accepts events whose type is not in the catalogue.
	AllowUnregistered bool
	// Panics confines a panic over one object to that object.
	Panics *panics.Guard
	Now    func() time.Time
}

// New makes a Store whose watches have not started.
func New(o Options) *Store {
	s := &Store{
		Webhooks: NewWebhookIndex(o.Now), Deliveries: NewDeliveryIndex(o.Now), EventTypes: NewEventTypeIndex(o.Now, o.AllowUnregistered),
		client: o.Client, namespaces: o.Namespaces,
	}
	s.Webhooks.Panics, s.Deliveries.Panics, s.EventTypes.Panics = o.Panics, o.Panics, o.Panics
	s.Staleness = NewStaleness(o.Client, s.Webhooks, s.Deliveries, s.EventTypes)
	return s
}

// Start follows the API server in the background until ctx ends.
func (s *Store) Start(ctx context.Context) {
	source := watchcache.Source{Client: s.client, Namespaces: s.namespaces}
	source.List, source.Example = &v1alpha1.WebhookList{}, &v1alpha1.Webhook{}
	s.Webhooks.Start(ctx, source)
	source.List, source.Example = &v1alpha1.WebhookDeliveryList{}, &v1alpha1.WebhookDelivery{}
	s.Deliveries.Start(ctx, source)
	s.EventTypes.Start(ctx, watchcache.Source{Client: s.client, List: &v1alpha1.EventTypeList{}, Example: &v1alpha1.EventType{}})
}
