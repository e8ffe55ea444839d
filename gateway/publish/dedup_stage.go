// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// errSameID is why a request waited for the lock of its event id in vain.
var errSameID = errors.New("another request is still publishing the same id")

// dedupStage finds what exists for an event that is published again under its id.
type dedupStage struct {
	webhooks   *store.WebhookIndex
	deliveries *store.DeliveryIndex
	window     *dedupWindow
	unstored   *unstoredAttempts
}

// lock keeps other requests of this replica for the same event id waiting until unlock.
func (d *dedupStage) lock(ctx context.Context, s *eventScope) (unlock func(), err error) {
	if s.Event.ID == "" {
		return func() {}, nil
	}
	unlock, err = d.window.lockEventID(ctx, s.Namespace, s.eventID)
	if err != nil {
		return nil, &UnavailableError{"publishing", errSameID}
	}
	return unlock, nil
}

// run finds the webhooks that match the event and the deliveries that exist for it, and refuses an event whose id
// belongs to another one.
func (d *dedupStage) run(s *eventScope) error {
	for _, webhook := range d.webhooks.ListMatching(s.Namespace, s.Event.Type) {
		s.candidates = append(s.candidates, candidate{webhook, identity.DeliveryName(s.eventID, string(webhook.UID))})
	}
	if s.Event.ID == "" {
		return nil
	}
	if err := d.findObjects(s); err != nil {
		return err
	}
	if err := d.findRemembered(s); err != nil {
		return err
	}
	d.findUnstored(s)
	return nil
}

// findObjects finds the deliveries that have an object.
func (d *dedupStage) findObjects(s *eventScope) error {
	for name, r := range d.deliveries.ListByEvent(s.Namespace, s.eventID) {
		if !hasDedupName(r) {
			continue // made by hand, for an event of the same id
		}
		if owner := d.webhooks.FindByUID(s.Namespace, r.Owner); owner != nil && owner.Name != r.Webhook || !s.isSameEvent(r) {
			return &EventIDTakenError{s.eventID}
		}
		s.adoptTimestamp(r)
		s.existing[name] = r
	}
	for _, t := range s.candidates {
		if _, taken := d.deliveries.Get(types.NamespacedName{Namespace: s.Namespace, Name: t.deliveryName}); taken && s.existing[t.deliveryName] == nil {
			return &EventIDTakenError{s.eventID}
		}
	}
	return nil
}

// findRemembered finds the deliveries in the dedup window: they succeeded here and have no object.
func (d *dedupStage) findRemembered(s *eventScope) error {
	entry, uids := d.window.find(s.Namespace, s.eventID)
	if entry == nil {
		return nil
	}
	entry.EventType = s.Event.Type // the digest covers it
	if !s.isSameEvent(entry) {
		return &EventIDTakenError{s.eventID}
	}
	s.adoptTimestamp(entry)
	entry.State, entry.Attempts = v1alpha1.DeliverySucceeded, 1
	for _, uid := range uids {
		name, webhook := identity.DeliveryName(s.eventID, string(uid)), d.webhooks.FindByUID(s.Namespace, uid)
		if webhook != nil && s.existing[name] == nil {
			r := *entry
			r.Name, r.ID, r.Webhook, r.Owner = name, identity.DeliveryID(name, ""), webhook.Name, webhook.UID
			s.existing[name] = &r
		}
	}
	return nil
}

// findUnstored finds the first attempts of deliveries that could not be stored when this event was published before.
func (d *dedupStage) findUnstored(s *eventScope) {
	s.priorAttempts = map[string]*firstAttempt{}
	for _, t := range s.candidates {
		a := d.unstored.find(t.webhook, t.deliveryName)
		if a == nil || s.existing[t.deliveryName] != nil {
			continue
		}
		entry := &store.DeliveryEntry{EventType: a.draft.eventType, Timestamp: a.draft.timestamp, Digest: a.digest}
		if s.isSameEvent(entry) {
			s.adoptTimestamp(entry)
			s.priorAttempts[t.deliveryName] = a
		}
	}
}

// hasDedupName reports whether a delivery has the name that is derived from its event and its owner.
func hasDedupName(r *store.DeliveryEntry) bool {
	return r.Owner != "" && r.Name == identity.DeliveryName(r.EventID, string(r.Owner))
}
