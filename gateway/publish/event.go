// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// Event is one event of a request. Its event type and id are valid; its data is not
// checked yet.
type Event struct {
	ID          string // "": none was given
	Type        string
	Data        []byte     // JSON text in any spelling
	Timestamp   *time.Time // nil: none was given
	TraceParent string     // "" or valid

	// FieldNames are the publisher's names for fields that package payload names
	// otherwise.
	FieldNames map[string]string
}

// fieldName is the publisher's name for one of our fields.
func (e *Event) fieldName(name string) string {
	if given, ok := e.FieldNames[name]; ok {
		return given
	}
	return name
}

// Request asks for an event to be published.
type Request struct {
	Caller    *auth.Caller
	Namespace string
	Event     *Event
	// Wait is how long the publisher waits for first attempts; 0: all is stored first.
	Wait time.Duration
}

// Result is what an event that was published has come to.
type Result struct {
	EventID string
	// Deliveries are of candidates, the oldest webhook first, then others, by name.
	Deliveries []*store.DeliveryEntry
	Skipped    []SkippedWebhook
}

// SkippedWebhook is a webhook that matches an event and gets no delivery.
type SkippedWebhook struct {
	Webhook *v1alpha1.Webhook
	Reason  string // of package rest
}
