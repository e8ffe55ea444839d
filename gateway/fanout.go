// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// fanOutWidth is how many deliveries of one event are created at once.
const fanOutWidth = 8

// fanOut makes a delivery for every candidate that is not disabled, within its quota and without one: by a first
// attempt, or as an object.
func (p *pipeline) fanOut(ctx context.Context) error {
	targets, err := p.admitTargets()
	if err != nil {
		return err
	}
	defer releaseTargets(targets) // including those never begun
	p.admitted = true
	until := p.g.now().Add(attemptWait(ctx, p.preference.wait))
	attempts, durable := p.attemptTargets(ctx, targets)
	if len(attempts) == 0 {
		return p.storeDeliveries(ctx, durable)
	}
	var storesUnderWay sync.WaitGroup
	if len(durable) > 0 {
		storesUnderWay.Go(func() {
			if panicked := p.g.panics.Do(panics.Delivery, func() { err = p.storeDeliveries(ctx, durable) }); panicked != nil {
				err = panicked
			}
		})
	}
	awaitAttempts(attempts, until.Sub(p.g.now()))
	storesUnderWay.Wait()
	others := p.keepSucceeded(targets)
	if err == nil {
		err = p.storeAll(ctx, others)
	}
	if err != nil {
		p.abandonAttempts(others)
	}
	return err
}

// admitTargets reserves quota and budget for the candidates that get a delivery.
func (p *pipeline) admitTargets() ([]*target, error) {
	var requests []store.QuotaRequest
	byName := map[string]candidate{}
	for _, t := range p.candidates {
		switch {
		case p.existing[t.deliveryName] != nil:
		case t.webhook.Status.State == v1alpha1.WebhookDisabled:
			p.skipWebhook(t, rest.SkippedDisabled)
		case t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse && p.g.throttles.isQueueFull(t.webhook):
			return nil, storeQueueFull(t.webhook)
		case settings.Record(t.webhook) == v1alpha1.RecordAlways && p.g.deliveries.CountPendingOutcomes(p.namespace) >= p.g.limits.PerNamespace:
			return nil, &store.QuotaError{Reason: store.QuotaNamespaceFull, Detail: fmt.Sprintf(
				"the controller has not taken in yet that %d deliveries of the namespace have succeeded, and webhook %s wants every one recorded", p.g.limits.PerNamespace, store.WebhookID(t.webhook))}
		default:
			byName[t.webhook.Name] = t
			requests = append(requests, store.QuotaRequest{Webhook: t.webhook.Name, WebhookID: store.WebhookID(t.webhook), RefuseIfFull: t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse})
		}
	}
	if len(requests) == 0 {
		return nil, nil
	}
	if p.g.store.terminating.contains(p.namespace) {
		return nil, terminatingError{}
	}
	if refused := p.g.store.writes.check(p.namespace); refused != nil {
		return nil, refused
	}
	bytes := int64(len(p.payload))
	decision := p.g.deliveries.Reserve(p.g.limits, p.namespace, bytes, requests)
	if decision.Refused != nil {
		return nil, decision.Refused
	}
	for _, full := range decision.Full {
		p.skipWebhook(byName[full.Webhook], rest.SkippedBacklogFull)
	}
	targets := make([]*target, len(decision.Granted))
	for i, granted := range decision.Granted {
		targets[i] = &target{candidate: byName[granted.Webhook], index: p.g.deliveries, reservedBytes: bytes}
	}
	reserved, refused := p.g.store.writes.reserve(p.namespace, len(p.payload), len(targets))
	if refused != nil {
		releaseTargets(targets)
		return nil, refused
	}
	for i, t := range targets {
		t.reservation = reserved[i]
	}
	return targets, nil
}

// target is one delivery to make.
type target struct {
	candidate

	index         *store.DeliveryIndex
	reservedBytes int64
	reservation   *byteReservation
	released      bool
	storeBegun    bool          // its object is being created
	attempt       *firstAttempt // nil: none is made here
}

// release ends the reservations, except for the bytes of an object.
func (t *target) release() {
	t.reservation.release()
	if !t.released {
		t.released = true
		t.index.Release(t.webhook.Namespace, t.webhook.Name, t.reservedBytes)
	}
}

func releaseTargets(targets []*target) {
	for _, t := range targets {
		t.release()
	}
}

// storeDeliveries creates the objects of deliveries without a first attempt.
func (p *pipeline) storeDeliveries(ctx context.Context, targets []*target) error {
	for p.needsArbiter() && len(targets) > 1 {
		r, err := p.storeDelivery(ctx, targets[0])
		if err != nil {
			return err
		}
		if r != nil {
			p.setTimestamp(r.Timestamp)
		}
		targets = targets[1:]
	}
	return p.storeAll(ctx, targets)
}

// needsArbiter reports whether another replica may be publishing the same event with another timestamp. Then the API
// server decides: the timestamp of the first delivery of the oldest webhook counts.
func (p *pipeline) needsArbiter() bool {
	return p.event.id != "" && p.event.timestamp == nil && len(p.existing) == 0
}

// storeAll stores deliveries, several at once, and begins no more after an error. It returns a permanent error if there
// was one.
func (p *pipeline) storeAll(ctx context.Context, targets []*target) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	for range min(len(targets), fanOutWidth) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				var err error
				if panicked := p.g.panics.Do(panics.Delivery, func() { _, err = p.storeDelivery(ctx, targets[i]) }); panicked != nil {
					err = panicked
				}
				if err != nil {
					next.Store(int64(len(targets)))
					mu.Lock()
					if failed == nil || isPermanent(err) {
						failed = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// isPermanent reports whether publishing the event again later would fail as well.
func isPermanent(err error) bool {
	class := classOf(err)
	return class == failurePermanent || class == failureConflict
}

// storeDelivery creates one delivery, or finds the one that another request created; nil and no error: its webhook was
// skipped.
func (p *pipeline) storeDelivery(ctx context.Context, t *target) (r *store.DeliveryEntry, err error) {
	defer t.release()
	if throttle := p.g.throttles.find(t.webhook); throttle != nil {
		release, err := throttle.acquire(ctx, keyOf(t.webhook), t.attempt != nil)
		switch {
		case errors.Is(err, errStoreQueueFull) && t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse:
			return nil, storeQueueFull(t.webhook)
		case errors.Is(err, errStoreQueueFull):
			p.skipWebhook(t.candidate, rest.SkippedBacklogFull)
			return nil, nil
		case err != nil:
			return nil, &unavailableError{storingDeliveries, err}
		}
		defer func() { release(r != nil) }()
	}
	t.storeBegun = true
	if t.attempt != nil {
		return p.storeAttempted(ctx, t)
	}
	draft := p.newDraft(t)
	stored, err := p.g.store.create(ctx, draft.object(), draft.reservation)
	if err != nil {
		return nil, err
	}
	return p.acceptStored(draft, stored)
}

// acceptStored notes what the API server holds of a delivery, if it is of this event.
func (p *pipeline) acceptStored(draft *deliveryDraft, stored *v1alpha1.WebhookDelivery) (*store.DeliveryEntry, error) {
	r := p.g.store.addToIndex(stored)
	if !draft.matchesEvent(stored) || !p.isSameEvent(r) {
		return nil, &eventIDTakenError{p.eventID}
	}
	p.addDelivery(r)
	return r, nil
}

// skippedWebhook is a candidate that gets no delivery, and why.
type skippedWebhook struct {
	candidate
	reason string
}

// skipWebhook adds a webhook that gets no delivery to the answer.
func (p *pipeline) skipWebhook(t candidate, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = append(p.skipped, skippedWebhook{t, reason})
}

// addDelivery adds a delivery to the answer.
func (p *pipeline) addDelivery(r *store.DeliveryEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.existing[r.Name] = r
	p.hasNew = true
}

func (p *pipeline) newDraft(t *target) *deliveryDraft {
	return &deliveryDraft{
		webhook: t.webhook, objectName: t.deliveryName, eventID: p.eventID, eventType: p.event.eventType, payload: p.payload, timestamp: p.timestamp,
		accepted: p.accepted, publishedBy: p.caller.Name(), traceParent: p.span.TraceParent(p.event.traceParent), reservation: t.reservation,
	}
}

// isSameEvent reports whether a delivery is of this very event: type, data, and the timestamp if the publisher gave
// one. Only the digest of the whole payload is known, so the data is compared within the delivery's own timestamp.
func (p *pipeline) isSameEvent(r *store.DeliveryEntry) bool {
	event := p.event
	if r.EventType != event.eventType || r.Test {
		return false
	}
	if event.timestamp != nil && payload.FormatTimestamp(*event.timestamp) != payload.FormatTimestamp(r.Timestamp) {
		return false
	}
	body := p.payload
	if payload.FormatTimestamp(r.Timestamp) != payload.FormatTimestamp(p.timestamp) {
		var err error
		if body, err = payload.Build(event.eventType, r.Timestamp, event.data); err != nil {
			return false
		}
	}
	return sha256.Sum256(body) == r.Digest
}

// hasDerivedName reports whether a delivery has the name that is derived from its event and its owner.
func hasDerivedName(r *store.DeliveryEntry) bool {
	return r.Owner != "" && r.Name == identity.DeliveryName(r.EventID, string(r.Owner))
}

func presentPublished(r *store.DeliveryEntry) rest.PublishedDelivery {
	return rest.PublishedDelivery{DeliveryID: r.ID, WebhookID: identity.WebhookID(r.Namespace, r.Webhook), Status: presentState(r.State)}
}
