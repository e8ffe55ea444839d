// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// checkStage refuses events that may not be published, and makes the payload of all others.
type checkStage struct {
	requireRight func(ctx context.Context, caller *auth.Caller, right auth.Right) error
	namespaces   []string // that this gateway serves; empty: all
	eventTypes   *store.EventTypeIndex
	eventIDs     *eventIDs
	now          func() time.Time
}

// run checks an event. A caller without the right to publish a type is not told whether the type exists.
func (c *checkStage) run(ctx context.Context, s *eventScope) error {
	event := s.event
	if err := c.requireRight(ctx, s.caller, auth.Right{Verb: auth.VerbPublish, Resource: auth.EventTypes, Namespace: s.namespace, Name: event.eventType}); err != nil {
		return err
	}
	if len(c.namespaces) > 0 && !slices.Contains(c.namespaces, s.namespace) {
		return &eventError{reasonNotFound, "query.namespace", "this gateway does not serve the namespace"}
	}
	entry := c.eventTypes.Find(event.eventType)
	if entry == nil && !c.eventTypes.AllowUnregistered {
		return &eventError{reasonTypeNotRegistered, event.fieldName("event"),
			fmt.Sprintf("%s is not in the catalogue; GET /v1/event-types lists what is, and an operator adds an EventType", event.eventType)}
	}
	s.accepted = c.now().UTC()
	s.timestamp = s.accepted
	if event.timestamp != nil {
		s.timestamp = *event.timestamp
	}
	var err error
	if s.payload, err = payload.Build(event.eventType, s.timestamp, event.data); err != nil {
		if cause, ok := errors.AsType[*payload.Error](err); ok {
			return &payloadError{cause, event.fieldNames}
		}
		return err
	}
	if entry != nil {
		if err := checkSchema(ctx, c.eventTypes, entry, s.payload); err != nil {
			return err
		}
	}
	s.eventID = event.id
	if s.eventID == "" {
		s.eventID, err = c.eventIDs.generate("evt_")
	}
	return err
}
