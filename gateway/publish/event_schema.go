// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// CheckEventSchema validates the data of a built payload, which so has bounded size, depth and numbers, against the
// schema of its type.
func CheckEventSchema(ctx context.Context, eventTypes *store.EventTypeIndex, entry *store.EventTypeEntry, body []byte) error {
	if entry.Invalid != nil {
		return &EventError{Reason: reasonEventTypeInvalid, Detail: fmt.Sprintf(
			"the schema of EventType %q cannot be used, so nothing of this type is accepted until an operator corrects it: %v", entry.Name, entry.Invalid)}
	}
	err := eventTypes.Validate(ctx, entry, payload.DataOf(body))
	switch found, ok := errors.AsType[*catalogue.Error](err); {
	case ok && found.TooCostly:
		return &EventError{reasonSchemaTooCostly, found.Field, found.Detail}
	case ok:
		return &EventError{reasonSchemaViolated, found.Field, found.Detail}
	case err != nil: // the request has ended
		return &UnavailableError{"checking the event", err}
	}
	return nil
}
