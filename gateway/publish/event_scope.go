// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// candidate is a webhook that matches the event, and the name of its delivery.
type candidate struct {
	webhook      *v1alpha1.Webhook
	deliveryName string
}

// eventScope is one event on its way through the stages: what was asked for, what the stages found out, and the
// deliveries so far.
type eventScope struct {
	Request

	eventID   string
	accepted  time.Time
	timestamp time.Time // of the payload
	payload   []byte    // with that timestamp
	span      tracing.Publishing

	candidates    []candidate              // the oldest webhook first
	priorAttempts map[string]*firstAttempt // of deliveries that could not be stored before, by name
	admitted      bool                     // quotas are reserved: attempts and objects may exist
	attemptsUntil time.Time                // for how long the event waits for its first attempts

	eventAnswer
}

// eventAnswer is what the publisher of an event gets to know, as far as it has come. Deliveries that are made at the
// same time add to it.
type eventAnswer struct {
	mu       sync.Mutex
	existing map[string]*store.DeliveryEntry // by name
	hasNew   bool                            // a delivery among existing is new
	skipped  []SkippedWebhook
}

// skipWebhook adds a webhook that gets no delivery.
func (a *eventAnswer) skipWebhook(t candidate, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skipped = append(a.skipped, SkippedWebhook{Webhook: t.webhook, Reason: reason})
}

// addDelivery adds a delivery.
func (a *eventAnswer) addDelivery(r *store.DeliveryEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.existing[r.Name] = r
	a.hasNew = true
}

func newEventScope(request Request) *eventScope {
	return &eventScope{Request: request, eventAnswer: eventAnswer{existing: map[string]*store.DeliveryEntry{}}}
}

// deliveries returns the existing deliveries in the order of the answer.
func (s *eventScope) deliveries() (all []*store.DeliveryEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := map[string]bool{}
	add := func(name string) {
		if r := s.existing[name]; r != nil && !added[name] {
			added[name] = true
			all = append(all, r)
		}
	}
	for _, t := range s.candidates {
		add(t.deliveryName)
	}
	for _, name := range slices.Sorted(maps.Keys(s.existing)) {
		add(name)
	}
	return all
}

func (s *eventScope) newDraft(t *target) *deliveryDraft {
	return &deliveryDraft{
		webhook: t.webhook, objectName: t.deliveryName, eventID: s.eventID, eventType: s.Event.Type, payload: s.payload, timestamp: s.timestamp,
		accepted: s.accepted, publishedBy: s.Caller.Name(), traceParent: s.span.TraceParent(s.Event.TraceParent), reservation: t.reservation,
	}
}

// needsArbiter reports whether another replica may be publishing the same event with another timestamp. Then the API
// server decides: the timestamp of the first delivery of the oldest webhook counts.
func (s *eventScope) needsArbiter() bool {
	return s.Event.ID != "" && s.Event.Timestamp == nil && len(s.existing) == 0
}

// isSameEvent reports whether a delivery is of this very event: type, data, and the timestamp if the publisher gave
// one. Only the digest of the whole payload is known, so the data is compared within the delivery's own timestamp.
func (s *eventScope) isSameEvent(r *store.DeliveryEntry) bool {
	event := s.Event
	if r.EventType != event.Type || r.Test {
		return false
	}
	if event.Timestamp != nil && payload.FormatTimestamp(*event.Timestamp) != payload.FormatTimestamp(r.Timestamp) {
		return false
	}
	body := s.payload
	if payload.FormatTimestamp(r.Timestamp) != payload.FormatTimestamp(s.timestamp) {
		var err error
		if body, err = payload.Build(event.Type, r.Timestamp, event.Data); err != nil {
			return false
		}
	}
	return sha256.Sum256(body) == r.Digest
}

// adoptTimestamp gives new deliveries the timestamp of an existing one; the earlier if two differ, which a webhook
// deleted meanwhile can leave behind.
func (s *eventScope) adoptTimestamp(r *store.DeliveryEntry) {
	if s.Event.Timestamp == nil && (len(s.existing) == 0 || r.Timestamp.Before(s.timestamp)) {
		s.setTimestamp(r.Timestamp)
	}
}

func (s *eventScope) setTimestamp(stamp time.Time) {
	if body, err := payload.Build(s.Event.Type, stamp, s.Event.Data); err == nil { // as before
		s.timestamp, s.payload = stamp, body
	}
}
