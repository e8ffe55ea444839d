// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// fanOutWidth is how many deliveries of one event are created at once.
const fanOutWidth = 8

// fanOut creates a delivery for every webhook that matches, is not disabled, has
// room and has none yet.
func (p *publishing) fanOut(ctx context.Context) error {
	var wishes []wish
	byName := map[string]*v1alpha1.Webhook{}
	for _, webhook := range p.wanted {
		switch {
		case p.known[p.draft(webhook).name()] != nil:
		case webhook.Status.State == v1alpha1.WebhookDisabled:
			p.skipped = append(p.skipped, rest.SkippedWebhook{WebhookID: idOf(webhook), Reason: rest.SkippedDisabled})
		default:
			byName[webhook.Name] = webhook
			wishes = append(wishes, wish{name: webhook.Name, id: idOf(webhook), refuse: webhook.Spec.Overflow == v1alpha1.OverflowRefuse})
		}
	}
	bytes := int64(len(p.payload))
	admitted := p.g.deliveries.reserve(p.g.limits, p.namespace, bytes, wishes)
	if admitted.refused != nil {
		return admitted.refused
	}
	p.skipped = append(p.skipped, admitted.skipped...)
	tasks := make([]*task, len(admitted.granted))
	for i, granted := range admitted.granted {
		release := sync.OnceFunc(func() { p.g.deliveries.release(p.namespace, granted.name, bytes) })
		tasks[i] = &task{webhook: byName[granted.name], release: release}
	}
	defer func(all []*task) {
		for _, t := range all {
			t.release() // also of what was never begun
		}
	}(tasks)
	if p.needsArbiter() && len(tasks) > 1 {
		r, err := p.deliver(ctx, tasks[0])
		if err != nil {
			return err
		}
		p.restamp(r.stamp)
		tasks = tasks[1:]
	}
	return p.deliverAll(ctx, tasks)
}

// task is one delivery to create.
type task struct {
	webhook *v1alpha1.Webhook
	release func() // the reservation
}

// needsArbiter reports whether another replica may be publishing the same event
// with another timestamp. Then the API server decides whose counts, by who
// creates the delivery of the oldest webhook.
func (p *publishing) needsArbiter() bool {
	return p.event.id != "" && p.event.timestamp == nil && len(p.known) == 0
}

// deliverAll begins nothing more once something failed. The error is the one
// that repeating does not mend, if there is one.
func (p *publishing) deliverAll(ctx context.Context, tasks []*task) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	for range min(len(tasks), fanOutWidth) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(tasks); i = int(next.Add(1)) - 1 {
				if _, err := p.deliver(ctx, tasks[i]); err != nil {
					next.Store(int64(len(tasks)))
					mu.Lock()
					if failed == nil || isConflict(err) {
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

func isConflict(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.Status == http.StatusConflict
}

// deliver creates one delivery, or finds the one that another request created.
func (p *publishing) deliver(ctx context.Context, t *task) (*recorded, error) {
	defer t.release()
	draft := p.draft(t.webhook)
	stored, err := p.g.create(ctx, draft.object())
	if err != nil {
		return nil, err
	}
	r := p.g.noteDelivery(stored)
	if !draft.isForEvent(stored) || !p.isSame(r) {
		return nil, idTaken(p.id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[r.name] = r
	p.created = true
	return r, nil
}

func (p *publishing) draft(webhook *v1alpha1.Webhook) *deliveryDraft {
	return &deliveryDraft{
		webhook: webhook, eventID: p.id, eventType: p.event.eventType, payload: p.payload,
		accepted: p.accepted, publishedBy: p.who.user.GetName(), traceParent: p.event.traceParent,
	}
}

// isSame reports whether a delivery is of this very event: type, data, and the
// timestamp if the publisher gave one. The data is compared with the delivery's
// own timestamp around it, since only the whole is known of it.
func (p *publishing) isSame(r *recorded) bool {
	event := p.event
	if r.eventType != event.eventType || r.test {
		return false
	}
	if event.timestamp != nil && payload.FormatTimestamp(*event.timestamp) != payload.FormatTimestamp(r.stamp) {
		return false
	}
	body := p.payload
	if payload.FormatTimestamp(r.stamp) != payload.FormatTimestamp(p.stamp) {
		var err error
		if body, err = payload.Build(event.eventType, r.stamp, event.data); err != nil {
			return false
		}
	}
	return sha256.Sum256(body) == r.digest
}

// isNamed reports whether the name of a delivery is the one that its event and
// its owner give it.
func isNamed(r *recorded) bool {
	return r.owner != "" && r.name == identity.DeliveryName(r.eventID, string(r.owner))
}

func presentPublished(r *recorded) rest.PublishedDelivery {
	return rest.PublishedDelivery{DeliveryID: r.id, WebhookID: identity.WebhookID(r.namespace, r.webhook), Status: presentState(r.state)}
}
