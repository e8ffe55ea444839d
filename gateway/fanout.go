// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// fanOutWidth is how many deliveries of one event are created at once.
const fanOutWidth = 8

// fanOut gets a delivery on its way for every webhook that matches, is not
// disabled, has room and has none yet: by a first attempt, or as an object.
func (p *pipeline) fanOut(ctx context.Context) error {
	tasks, err := p.admit()
	if err != nil {
		return err
	}
	defer releaseAll(tasks) // also of what was never begun
	p.admitted = true
	until := p.g.now().Add(timeFor(ctx, p.prefer.wait))
	flights, durable := p.attempt(ctx, tasks)
	if len(flights) == 0 {
		return p.store(ctx, durable)
	}
	var storing sync.WaitGroup
	if len(durable) > 0 {
		storing.Go(func() {
			if panicked := p.g.panics.Do(panics.Delivery, func() { err = p.store(ctx, durable) }); panicked != nil {
				err = internalProblem(panicked)
			}
		})
	}
	await(flights, until.Sub(p.g.now()))
	storing.Wait()
	others := p.land(tasks)
	if err == nil {
		err = p.deliverAll(ctx, others)
	}
	if err != nil {
		p.abandon(others)
	}
	return err
}

// admit reserves places for those that get a delivery.
func (p *pipeline) admit() ([]*task, error) {
	var wishes []wish
	byName := map[string]target{}
	for _, t := range p.wanted {
		switch {
		case p.known[t.name] != nil:
		case t.webhook.Status.State == v1alpha1.WebhookDisabled:
			p.skip(t, rest.SkippedDisabled)
		case t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse && p.g.isStoreQueueFull(t.webhook):
			return nil, lineFull(t.webhook)
		case recordPolicy(t.webhook) == v1alpha1.RecordAlways && p.g.deliveries.countPendingOutcomes(p.namespace) >= p.g.limits.PerNamespace:
			return nil, limitReached(reasonNamespaceFull, fmt.Sprintf(
				"the controller has not taken in yet that %d deliveries of the namespace have succeeded, and webhook %s wants every one recorded", p.g.limits.PerNamespace, idOf(t.webhook)))
		default:
			byName[t.webhook.Name] = t
			wishes = append(wishes, wish{name: t.webhook.Name, id: idOf(t.webhook), refuse: t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse})
		}
	}
	if len(wishes) == 0 {
		return nil, nil
	}
	if p.g.terminating.contains(p.namespace) {
		return nil, namespaceTerminating()
	}
	if refused := p.g.writes.check(p.namespace); refused != nil {
		return nil, refused
	}
	bytes := int64(len(p.payload))
	admitted := p.g.deliveries.reserve(p.g.limits, p.namespace, bytes, wishes)
	if admitted.refused != nil {
		return nil, admitted.refused
	}
	for _, full := range admitted.full {
		p.skip(byName[full.name], rest.SkippedBacklogFull)
	}
	tasks := make([]*task, len(admitted.granted))
	for i, granted := range admitted.granted {
		tasks[i] = &task{target: byName[granted.name], ledger: p.g.deliveries, bytes: bytes}
	}
	reserved, refused := p.g.writes.reserve(p.namespace, len(p.payload), len(tasks))
	if refused != nil {
		releaseAll(tasks)
		return nil, refused
	}
	for i, t := range tasks {
		t.reserved = reserved[i]
	}
	return tasks, nil
}

// task is one delivery to get on its way.
type task struct {
	target

	ledger   *deliveryIndex
	bytes    int64 // reserved
	reserved *byteReservation
	released bool
	begun    bool          // to be stored
	flight   *firstAttempt // its first attempt; nil: none is made here
}

// release ends the reservations, but for the bytes of an object.
func (t *task) release() {
	t.reserved.release()
	if !t.released {
		t.released = true
		t.ledger.release(t.webhook.Namespace, t.webhook.Name, t.bytes)
	}
}

func releaseAll(tasks []*task) {
	for _, t := range tasks {
		t.release()
	}
}

// store creates objects that need no first attempt.
func (p *pipeline) store(ctx context.Context, tasks []*task) error {
	for p.needsArbiter() && len(tasks) > 1 {
		r, err := p.deliver(ctx, tasks[0])
		if err != nil {
			return err
		}
		if r != nil {
			p.restamp(r.timestamp)
		}
		tasks = tasks[1:]
	}
	return p.deliverAll(ctx, tasks)
}

// needsArbiter reports whether another replica may be publishing the same event
// with another timestamp. Then the API server decides whose counts, by who
// creates the delivery of the oldest webhook.
func (p *pipeline) needsArbiter() bool {
	return p.event.id != "" && p.event.timestamp == nil && len(p.known) == 0
}

// deliverAll begins nothing more once something failed. The error is the one
// that repeating does not mend, if there is one.
func (p *pipeline) deliverAll(ctx context.Context, tasks []*task) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	for range min(len(tasks), fanOutWidth) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(tasks); i = int(next.Add(1)) - 1 {
				var err error
				if panicked := p.g.panics.Do(panics.Delivery, func() { _, err = p.deliver(ctx, tasks[i]) }); panicked != nil {
					err = internalProblem(panicked)
				}
				if err != nil {
					next.Store(int64(len(tasks)))
					mu.Lock()
					if failed == nil || isLasting(err) {
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

// isLasting reports whether repeating the event later mends nothing.
func isLasting(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
}

// deliver creates one delivery, or finds the one that another request created;
// nil and no error: its webhook was skipped.
func (p *pipeline) deliver(ctx context.Context, t *task) (r *deliveryEntry, err error) {
	defer t.release()
	if storing := p.g.storeThrottle(t.webhook); storing != nil {
		leave, err := storing.enter(ctx, keyOf(t.webhook), t.flight != nil)
		switch {
		case errors.Is(err, errLineFull) && t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse:
			return nil, lineFull(t.webhook)
		case errors.Is(err, errLineFull):
			p.skip(t.target, rest.SkippedBacklogFull)
			return nil, nil
		case err != nil:
			return nil, unavailable(doingStore, err)
		}
		defer func() { leave(r != nil) }()
	}
	t.begun = true
	if t.flight != nil {
		return p.deliverAttempted(ctx, t)
	}
	draft := p.draft(t)
	stored, err := p.g.createObject(ctx, draft.object(), draft.reserved)
	if err != nil {
		return nil, err
	}
	return p.take(draft, stored)
}

// take notes what the API server holds of a delivery, if it is of this event.
func (p *pipeline) take(draft *deliveryDraft, stored *v1alpha1.WebhookDelivery) (*deliveryEntry, error) {
	r := p.g.indexDelivery(stored)
	if !draft.isForEvent(stored) || !p.isSame(r) {
		return nil, eventIDTaken(p.id)
	}
	p.note(r)
	return r, nil
}

// skippedTarget is a webhook that gets no delivery, and why.
type skippedTarget struct {
	target
	reason string
}

// skip makes a webhook that gets no delivery part of the answer.
func (p *pipeline) skip(t target, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = append(p.skipped, skippedTarget{t, reason})
}

// note makes a delivery part of the answer.
func (p *pipeline) note(r *deliveryEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[r.name] = r
	p.created = true
}

func (p *pipeline) draft(t *task) *deliveryDraft {
	return &deliveryDraft{
		webhook: t.webhook, named: t.name, eventID: p.id, eventType: p.event.eventType, payload: p.payload, stamp: p.stamp,
		accepted: p.accepted, publishedBy: p.who.name(), traceParent: p.span.TraceParent(p.event.traceParent), reserved: t.reserved,
	}
}

// isSame reports whether a delivery is of this very event: type, data, and the
// timestamp if the publisher gave one. The data is compared with the delivery's
// own timestamp around it, since only the whole is known of it.
func (p *pipeline) isSame(r *deliveryEntry) bool {
	event := p.event
	if r.eventType != event.eventType || r.test {
		return false
	}
	if event.timestamp != nil && payload.FormatTimestamp(*event.timestamp) != payload.FormatTimestamp(r.timestamp) {
		return false
	}
	body := p.payload
	if payload.FormatTimestamp(r.timestamp) != payload.FormatTimestamp(p.stamp) {
		var err error
		if body, err = payload.Build(event.eventType, r.timestamp, event.data); err != nil {
			return false
		}
	}
	return sha256.Sum256(body) == r.digest
}

// isNamed reports whether the name of a delivery is the one that its event and
// its owner give it.
func isNamed(r *deliveryEntry) bool {
	return r.owner != "" && r.name == identity.DeliveryName(r.eventID, string(r.owner))
}

func presentPublished(r *deliveryEntry) rest.PublishedDelivery {
	return rest.PublishedDelivery{DeliveryID: r.id, WebhookID: identity.WebhookID(r.namespace, r.webhook), Status: presentState(r.state)}
}
