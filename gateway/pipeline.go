// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

const (
	// batchWidth is how many events of a batch are published at once.
	batchWidth = 4
)

// Outcomes of publishing, for the metric.
const (
	outcomeAccepted = "accepted"
	outcomeRepeated = "repeated"
	outcomeRefused  = "refused"
	outcomeFailed   = "failed"
)

// errSameID is why a request waited for the lock of its event id in vain.
var errSameID = errors.New("another request is still publishing the same id")

// pipeline takes one event through its stages: check, dedup, quota, attempt, store. Make one for each event, and run it
// once.
type pipeline struct {
	g          *Gateway
	caller     *auth.Caller
	namespace  string
	event      *parsedEvent
	preference preference

	eventID   string
	accepted  time.Time
	timestamp time.Time // of the payload
	payload   []byte    // with that timestamp
	span      tracing.Publishing

	candidates []candidate // the oldest webhook first
	skipped    []skippedWebhook

	mu       sync.Mutex
	existing map[string]*store.DeliveryEntry // by name
	hasNew   bool                            // a delivery among existing is new

	admitted      bool                     // quotas are reserved: attempts and objects may exist
	priorAttempts map[string]*firstAttempt // of deliveries that could not be stored before, by name
}

// candidate is a webhook that matches the event, and the name of its delivery.
type candidate struct {
	webhook      *v1alpha1.Webhook
	deliveryName string
}

// run publishes the event; every error is a failure or a bug.
func (p *pipeline) run(ctx context.Context) (*rest.Published, error) {
	var err error
	if panicked := p.g.panics.Do(panics.Event, func() { err = p.runStages(ctx) }); panicked != nil {
		err = panicked
	}
	p.span.End(reasonOf(err), len(p.existing))
	if err == nil {
		p.countOutcome()
		return &rest.Published{EventID: p.eventID, Deliveries: p.presentDeliveries(), Skipped: p.presentSkipped()}, nil
	}
	class := classOf(err)
	if class == failurePlatform {
		p.g.metrics.published(outcomeFailed)
	} else {
		p.g.metrics.published(outcomeRefused)
	}
	if p.eventID != "" && (p.admitted || class != failurePermanent) {
		err = &publishError{cause: err, eventID: p.eventID, deliveries: p.presentDeliveries()}
	}
	return nil, err
}

func (p *pipeline) runStages(ctx context.Context) error {
	p.existing = map[string]*store.DeliveryEntry{}
	if err := p.checkEvent(ctx); err != nil {
		return err
	}
	p.span = p.g.tracer.Publish(p.event.traceParent, tracing.Event{Namespace: p.namespace, Type: p.event.eventType, ID: p.eventID, Accepted: p.accepted})
	if p.event.id != "" {
		unlock, err := p.g.dedup.lockEventID(ctx, p.namespace, p.eventID)
		if err != nil {
			return &unavailableError{"publishing", errSameID}
		}
		defer unlock()
	}
	if err := p.findExisting(); err != nil {
		return err
	}
	return p.fanOut(ctx)
}

func (p *pipeline) countOutcome() {
	outcome := outcomeAccepted
	if !p.hasNew && len(p.existing) > 0 {
		outcome = outcomeRepeated
	}
	p.g.metrics.published(outcome)
	for _, each := range p.skipped {
		p.g.metrics.skippedWebhook(each.reason)
		p.g.skipReporter.count(keyOf(each.webhook), each.reason)
	}
}

// checkEvent refuses an event that may not be published, and makes the payload of any other. A caller without the right
// to publish a type is not told whether the type exists.
func (p *pipeline) checkEvent(ctx context.Context) error {
	g, event := p.g, p.event
	if err := g.requireRight(ctx, p.caller, auth.Right{Verb: auth.VerbPublish, Resource: auth.EventTypes, Namespace: p.namespace, Name: event.eventType}); err != nil {
		return err
	}
	if len(g.namespaces) > 0 && !slices.Contains(g.namespaces, p.namespace) {
		return &eventError{reasonNotFound, "query.namespace", "this gateway does not serve the namespace"}
	}
	entry := g.eventTypes.Find(event.eventType)
	if entry == nil && !g.eventTypes.AllowUnregistered {
		return &eventError{reasonTypeNotRegistered, p.fieldName("event"),
			fmt.Sprintf("%s is not in the catalogue; GET /v1/event-types lists what is, and an operator adds an EventType", event.eventType)}
	}
	p.accepted = g.now().UTC()
	p.timestamp = p.accepted
	if event.timestamp != nil {
		p.timestamp = *event.timestamp
	}
	var err error
	if p.payload, err = payload.Build(event.eventType, p.timestamp, event.data); err != nil {
		if cause, ok := errors.AsType[*payload.Error](err); ok {
			return &payloadError{cause, event.fieldNames}
		}
		return err
	}
	if entry != nil {
		if err := checkSchema(ctx, g.eventTypes, entry, p.payload); err != nil {
			return err
		}
	}
	p.eventID = event.id
	if p.eventID == "" {
		p.eventID, err = g.eventIDs.generate("evt_")
	}
	return err
}

// fieldName is the publisher's name for one of our fields.
func (p *pipeline) fieldName(name string) string {
	if given, ok := p.event.fieldNames[name]; ok {
		return given
	}
	return name
}

// presentDeliveries returns the existing deliveries as the answer has them: those of candidates, the oldest webhook
// first, then others, by name.
func (p *pipeline) presentDeliveries() []rest.PublishedDelivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []rest.PublishedDelivery{}
	shown := map[string]bool{}
	show := func(name string) {
		if r := p.existing[name]; r != nil && !shown[name] {
			shown[name] = true
			all = append(all, presentPublished(r))
		}
	}
	for _, t := range p.candidates {
		show(t.deliveryName)
	}
	for _, name := range slices.Sorted(maps.Keys(p.existing)) {
		show(name)
	}
	return all
}

// presentSkipped returns the webhooks that get no delivery as the answer has them.
func (p *pipeline) presentSkipped() []rest.SkippedWebhook {
	all := make([]rest.SkippedWebhook, len(p.skipped))
	for i, each := range p.skipped {
		all[i] = rest.SkippedWebhook{WebhookID: store.WebhookID(each.webhook), Reason: each.reason}
	}
	return all
}
