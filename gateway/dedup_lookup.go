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
func (p *publishing) recall() error {
	g := p.g
	for _, webhook := range g.endpoints.matching(p.namespace, p.event.eventType) {
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
func (p *publishing) recallObjects() error {
	g := p.g
	for name, r := range g.deliveries.ofEvent(p.namespace, p.id) {
		if !isNamed(r) {
			continue // made by hand, for an event of the same id
		}
		if owner := g.endpoints.withUID(p.namespace, r.owner); owner != nil && owner.Name != r.webhook || !p.isSame(r) {
			return idTaken(p.id)
		}
		p.adopt(r)
		p.known[name] = r
	}
	for _, t := range p.wanted {
		if _, taken := g.deliveries.Get(types.NamespacedName{Namespace: p.namespace, Name: t.name}); taken && p.known[t.name] == nil {
			return idTaken(p.id)
		}
	}
	return nil
}

// recallAttempts finds those that were delivered here and have none.
func (p *publishing) recallAttempts() error {
	past, hooks := p.g.window.recall(p.namespace, p.id)
	if past == nil {
		return nil
	}
	past.eventType = p.event.eventType // the digest covers it
	if !p.isSame(past) {
		return idTaken(p.id)
	}
	p.adopt(past)
	past.state, past.attempts = v1alpha1.DeliverySucceeded, 1
	for _, uid := range hooks {
		name, webhook := identity.DeliveryName(p.id, string(uid)), p.g.endpoints.withUID(p.namespace, uid)
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
func (p *publishing) recallUnstored() {
	p.attempted = map[string]*flight{}
	for _, t := range p.wanted {
		f := p.g.unstored.find(t.webhook, t.name)
		if f == nil || p.known[t.name] != nil {
			continue
		}
		made := &recorded{eventType: f.draft.eventType, stamp: f.draft.stamp, digest: f.digest}
		if p.isSame(made) {
			p.adopt(made)
			p.attempted[t.name] = f
		}
	}
}

// adopt gives what is created the timestamp of what exists, the earliest if a
// webhook that was deleted meanwhile left two of them.
func (p *publishing) adopt(r *recorded) {
	if p.event.timestamp == nil && (len(p.known) == 0 || r.stamp.Before(p.stamp)) {
		p.restamp(r.stamp)
	}
}

func (p *publishing) restamp(stamp time.Time) {
	if body, err := payload.Build(p.event.eventType, stamp, p.event.data); err == nil { // as it did before
		p.stamp, p.payload = stamp, body
	}
}
