// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// parsedEvent is one event of a request. Its event type and id are valid; its data is not
// checked yet.
type parsedEvent struct {
	id          string // "": none was given
	eventType   string
	data        []byte     // JSON text in any spelling
	timestamp   *time.Time // nil: none was given
	traceParent string     // "" or valid

	// fieldNames are the publisher's names for fields that package payload names
	// otherwise.
	fieldNames map[string]string
}

// fieldName is the publisher's name for one of our fields.
func (e *parsedEvent) fieldName(name string) string {
	if given, ok := e.fieldNames[name]; ok {
		return given
	}
	return name
}

// publishRequest asks for an event to be published.
type publishRequest struct {
	caller    *auth.Caller
	namespace string
	event     *parsedEvent
	// wait is how long the publisher waits for first attempts; 0: all is stored first.
	wait time.Duration
}

// publishResult is what an event that was published has come to.
type publishResult struct {
	eventID string
	// deliveries are of candidates, the oldest webhook first, then others, by name.
	deliveries []*store.DeliveryEntry
	skipped    []skippedWebhook
}

// candidate is a webhook that matches the event, and the name of its delivery.
type candidate struct {
	webhook      *v1alpha1.Webhook
	deliveryName string
}

// skippedWebhook is a candidate that gets no delivery, and why.
type skippedWebhook struct {
	candidate
	reason string
}

// eventScope is one event on its way through the stages: what was asked for, what the stages found out, and the
// deliveries so far.
type eventScope struct {
	publishRequest

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
	skipped  []skippedWebhook
}

// skipWebhook adds a webhook that gets no delivery.
func (a *eventAnswer) skipWebhook(t candidate, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skipped = append(a.skipped, skippedWebhook{t, reason})
}

// addDelivery adds a delivery.
func (a *eventAnswer) addDelivery(r *store.DeliveryEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.existing[r.Name] = r
	a.hasNew = true
}

func newEventScope(request publishRequest) *eventScope {
	return &eventScope{publishRequest: request, eventAnswer: eventAnswer{existing: map[string]*store.DeliveryEntry{}}}
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
		webhook: t.webhook, objectName: t.deliveryName, eventID: s.eventID, eventType: s.event.eventType, payload: s.payload, timestamp: s.timestamp,
		accepted: s.accepted, publishedBy: s.caller.Name(), traceParent: s.span.TraceParent(s.event.traceParent), reservation: t.reservation,
	}
}

// needsArbiter reports whether another replica may be publishing the same event with another timestamp. Then the API
// server decides: the timestamp of the first delivery of the oldest webhook counts.
func (s *eventScope) needsArbiter() bool {
	return s.event.id != "" && s.event.timestamp == nil && len(s.existing) == 0
}

// isSameEvent reports whether a delivery is of this very event: type, data, and the timestamp if the publisher gave
// one. Only the digest of the whole payload is known, so the data is compared within the delivery's own timestamp.
func (s *eventScope) isSameEvent(r *store.DeliveryEntry) bool {
	event := s.event
	if r.EventType != event.eventType || r.Test {
		return false
	}
	if event.timestamp != nil && payload.FormatTimestamp(*event.timestamp) != payload.FormatTimestamp(r.Timestamp) {
		return false
	}
	body := s.payload
	if payload.FormatTimestamp(r.Timestamp) != payload.FormatTimestamp(s.timestamp) {
		var err error
		if body, err = payload.Build(event.eventType, r.Timestamp, event.data); err != nil {
			return false
		}
	}
	return sha256.Sum256(body) == r.Digest
}

// adoptTimestamp gives new deliveries the timestamp of an existing one; the earlier if two differ, which a webhook
// deleted meanwhile can leave behind.
func (s *eventScope) adoptTimestamp(r *store.DeliveryEntry) {
	if s.event.timestamp == nil && (len(s.existing) == 0 || r.Timestamp.Before(s.timestamp)) {
		s.setTimestamp(r.Timestamp)
	}
}

func (s *eventScope) setTimestamp(stamp time.Time) {
	if body, err := payload.Build(s.event.eventType, stamp, s.event.data); err == nil { // as before
		s.timestamp, s.payload = stamp, body
	}
}
