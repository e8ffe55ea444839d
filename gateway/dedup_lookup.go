// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// findExisting finds the deliveries that exist for this event, and refuses an event whose id belongs to another one.
func (p *pipeline) findExisting() error {
	g := p.g
	for _, webhook := range g.webhooks.ListMatching(p.namespace, p.event.eventType) {
		p.candidates = append(p.candidates, candidate{webhook, identity.DeliveryName(p.eventID, string(webhook.UID))})
	}
	if p.event.id == "" {
		return nil
	}
	if err := p.findObjects(); err != nil {
		return err
	}
	if err := p.findRemembered(); err != nil {
		return err
	}
	p.findUnstored()
	return nil
}

// findObjects finds the deliveries that have an object.
func (p *pipeline) findObjects() error {
	g := p.g
	for name, r := range g.deliveries.ListByEvent(p.namespace, p.eventID) {
		if !hasDerivedName(r) {
			continue // made by hand, for an event of the same id
		}
		if owner := g.webhooks.FindByUID(p.namespace, r.Owner); owner != nil && owner.Name != r.Webhook || !p.isSameEvent(r) {
			return &eventIDTakenError{p.eventID}
		}
		p.adoptTimestamp(r)
		p.existing[name] = r
	}
	for _, t := range p.candidates {
		if _, taken := g.deliveries.Get(types.NamespacedName{Namespace: p.namespace, Name: t.deliveryName}); taken && p.existing[t.deliveryName] == nil {
			return &eventIDTakenError{p.eventID}
		}
	}
	return nil
}

// findRemembered finds the deliveries in the dedup window: they succeeded here and have no object.
func (p *pipeline) findRemembered() error {
	entry, uids := p.g.dedup.find(p.namespace, p.eventID)
	if entry == nil {
		return nil
	}
	entry.EventType = p.event.eventType // the digest covers it
	if !p.isSameEvent(entry) {
		return &eventIDTakenError{p.eventID}
	}
	p.adoptTimestamp(entry)
	entry.State, entry.Attempts = v1alpha1.DeliverySucceeded, 1
	for _, uid := range uids {
		name, webhook := identity.DeliveryName(p.eventID, string(uid)), p.g.webhooks.FindByUID(p.namespace, uid)
		if webhook != nil && p.existing[name] == nil {
			r := *entry
			r.Name, r.ID, r.Webhook, r.Owner = name, identity.DeliveryID(name, ""), webhook.Name, webhook.UID
			p.existing[name] = &r
		}
	}
	return nil
}

// findUnstored finds the first attempts of deliveries that could not be stored when this event was published before.
func (p *pipeline) findUnstored() {
	p.priorAttempts = map[string]*firstAttempt{}
	for _, t := range p.candidates {
		a := p.g.unstored.find(t.webhook, t.deliveryName)
		if a == nil || p.existing[t.deliveryName] != nil {
			continue
		}
		entry := &store.DeliveryEntry{EventType: a.draft.eventType, Timestamp: a.draft.timestamp, Digest: a.digest}
		if p.isSameEvent(entry) {
			p.adoptTimestamp(entry)
			p.priorAttempts[t.deliveryName] = a
		}
	}
}

// adoptTimestamp gives new deliveries the timestamp of an existing one; the earlier if two differ, which a webhook
// deleted meanwhile can leave behind.
func (p *pipeline) adoptTimestamp(r *store.DeliveryEntry) {
	if p.event.timestamp == nil && (len(p.existing) == 0 || r.Timestamp.Before(p.timestamp)) {
		p.setTimestamp(r.Timestamp)
	}
}

func (p *pipeline) setTimestamp(stamp time.Time) {
	if body, err := payload.Build(p.event.eventType, stamp, p.event.data); err == nil { // as before
		p.timestamp, p.payload = stamp, body
	}
}
