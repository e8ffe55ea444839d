// SPDX-License-Identifier: Apache-2.0

package publish

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
	event := s.Event
	if err := c.requireRight(ctx, s.Caller, auth.Right{Verb: auth.VerbPublish, Resource: auth.EventTypes, Namespace: s.Namespace, Name: event.Type}); err != nil {
		return err
	}
	if len(c.namespaces) > 0 && !slices.Contains(c.namespaces, s.Namespace) {
		return &EventError{reasonNotFound, "query.namespace", "this gateway does not serve the namespace"}
	}
	entry := c.eventTypes.Find(event.Type)
	if entry == nil && !c.eventTypes.AllowUnregistered {
		return &EventError{reasonTypeNotRegistered, event.fieldName("event"),
			fmt.Sprintf("%s is not in the catalogue; GET /v1/event-types lists what is, and an operator adds an EventType", event.Type)}
	}
	s.accepted = c.now().UTC()
	s.timestamp = s.accepted
	if event.Timestamp != nil {
		s.timestamp = *event.Timestamp
	}
	var err error
	if s.payload, err = payload.Build(event.Type, s.timestamp, event.Data); err != nil {
		if cause, ok := errors.AsType[*payload.Error](err); ok {
			return &PayloadError{cause, event.FieldNames}
		}
		return err
	}
	if entry != nil {
		if err := CheckEventSchema(ctx, c.eventTypes, entry, s.payload); err != nil {
			return err
		}
	}
	s.eventID = event.ID
	if s.eventID == "" {
		s.eventID, err = c.eventIDs.generate("evt_")
	}
	return err
}
