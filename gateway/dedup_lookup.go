// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// recall finds the deliveries that this event has already, and refuses an event
// that is not the one they are of.
func (p *pipeline) recall() error {
	g := p.g
	for _, webhook := range g.webhooks.listMatching(p.namespace, p.event.eventType) {
		p.wanted = append(p.wanted, target{webhook, identity.DeliveryName(p.id, string(webhook.UID))})
	}
	if p.event.id == "" {
		return nil
	}
	if err := p.recallObjects(); err != nil {
		return err
	}
	if err := p.recallAttempts(); err != nil {
		return err
	}
	p.recallUnstored()
	return nil
}

// recallObjects finds those that have an object.
func (p *pipeline) recallObjects() error {
	g := p.g
	for name, r := range g.deliveries.listByEvent(p.namespace, p.id) {
		if !isNamed(r) {
			continue // made by hand, for an event of the same id
		}
		if owner := g.webhooks.findByUID(p.namespace, r.owner); owner != nil && owner.Name != r.webhook || !p.isSame(r) {
			return eventIDTaken(p.id)
		}
		p.adopt(r)
		p.known[name] = r
	}
	for _, t := range p.wanted {
		if _, taken := g.deliveries.Get(types.NamespacedName{Namespace: p.namespace, Name: t.name}); taken && p.known[t.name] == nil {
			return eventIDTaken(p.id)
		}
	}
	return nil
}

// recallAttempts finds those that were delivered here and have none.
func (p *pipeline) recallAttempts() error {
	past, hooks := p.g.dedup.recall(p.namespace, p.id)
	if past == nil {
		return nil
	}
	past.eventType = p.event.eventType // the digest covers it
	if !p.isSame(past) {
		return eventIDTaken(p.id)
	}
	p.adopt(past)
	past.state, past.attempts = v1alpha1.DeliverySucceeded, 1
	for _, uid := range hooks {
		name, webhook := identity.DeliveryName(p.id, string(uid)), p.g.webhooks.findByUID(p.namespace, uid)
		if webhook != nil && p.known[name] == nil {
			r := *past
			r.name, r.id, r.webhook, r.owner = name, identity.DeliveryID(name, ""), webhook.Name, webhook.UID
			p.known[name] = &r
		}
	}
	return nil
}

// recallUnstored finds the first attempts of deliveries that could not be stored
// when this event was published before.
func (p *pipeline) recallUnstored() {
	p.attempted = map[string]*firstAttempt{}
	for _, t := range p.wanted {
		f := p.g.unstored.find(t.webhook, t.name)
		if f == nil || p.known[t.name] != nil {
			continue
		}
		made := &deliveryEntry{eventType: f.draft.eventType, timestamp: f.draft.stamp, digest: f.digest}
		if p.isSame(made) {
			p.adopt(made)
			p.attempted[t.name] = f
		}
	}
}

// adopt gives what is created the timestamp of what exists, the earliest if a
// webhook that was deleted meanwhile left two of them.
func (p *pipeline) adopt(r *deliveryEntry) {
	if p.event.timestamp == nil && (len(p.known) == 0 || r.timestamp.Before(p.stamp)) {
		p.restamp(r.timestamp)
	}
}

func (p *pipeline) restamp(stamp time.Time) {
	if body, err := payload.Build(p.event.eventType, stamp, p.event.data); err == nil { // as it did before
		p.stamp, p.payload = stamp, body
	}
}
