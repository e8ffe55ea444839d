// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// wholeBody is the field of problems that concern the whole body.
const wholeBody = "body"

// keyHeader makes publishing idempotent, like the member id.
const keyHeader = "Idempotency-Key"

// parseJSONEvent parses {"event":…,"data":…,"timestamp":…,"id":…}. It is strict: a
// misspelt member must not be ignored. Errors are *payload.Error.
func parseJSONEvent(body []byte) (*publish.Event, error) {
	members, err := payload.Members(body, wholeBody)
	if err != nil {
		return nil, err
	}
	p := &publish.Event{}
	for _, member := range members {
		switch member.Name {
		case "event":
			p.Type, err = member.Text(payload.InvalidEventType)
		case "id":
			p.ID, err = eventID(member)
		case "timestamp":
			p.Timestamp, err = timestamp(member)
		case "data":
			p.Data = member.Value
		default:
			return nil, &payload.Error{Field: member.Field(), Reason: payload.UnknownMember, Detail: "is not known: an event holds event, data, timestamp and id; move it into data"}
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"event", "data"} {
		if !slices.ContainsFunc(members, func(m payload.Member) bool { return m.Name == name }) {
			return nil, &payload.Error{Field: name, Reason: payload.MissingMember, Detail: "is missing: an event holds at least event and data"}
		}
	}
	return p, payload.ValidateEventType(p.Type)
}

func eventID(member payload.Member) (string, error) {
	id, err := member.Text(payload.InvalidEventID)
	if err != nil {
		return "", err
	}
	return id, payload.ValidateEventID(id)
}

func timestamp(member payload.Member) (*time.Time, error) {
	text, err := member.Text(payload.InvalidTimestamp)
	if err != nil {
		return nil, err
	}
	parsed, err := payload.ParseTimestamp(text)
	return &parsed, err
}

// applyIdempotencyKey sets the id from the header Idempotency-Key, if there is one.
func applyIdempotencyKey(p *publish.Event, header http.Header) error {
	field := "header." + keyHeader
	refuse := func(detail string) error {
		return &payload.Error{Field: field, Reason: payload.InvalidEventID, Detail: detail}
	}
	values := header.Values(keyHeader)
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return refuse("is there more than once; send it once")
	}
	if err, ok := errors.AsType[*payload.Error](payload.ValidateEventID(values[0])); ok {
		return refuse(err.Detail)
	}
	if p.ID != "" && p.ID != values[0] {
		return refuse("differs from the id in the body; send one of them, or the same in both")
	}
	p.ID = values[0]
	return nil
}

// applyTraceParent sets the trace context from the request, if it is valid and the event
// has none of its own. An invalid one is ignored (W3C Trace Context, section 3.2).
func applyTraceParent(p *publish.Event, header http.Header) {
	if values := header.Values("Traceparent"); p.TraceParent == "" && len(values) == 1 && tracing.IsTraceParent(values[0]) {
		p.TraceParent = values[0]
	}
}

// problemFromPayload makes a problem of an error in an event. fieldNames are the
// publisher's names of fields.
func problemFromPayload(err error, fieldNames map[string]string) error {
	found, ok := errors.AsType[*payload.Error](err)
	if !ok {
		return err
	}
	return payloadProblem(found, fieldNames)
}

func payloadProblem(found *payload.Error, fieldNames map[string]string) *problem {
	status := http.StatusUnprocessableEntity
	switch found.Reason {
	case payload.InvalidJSON, payload.TrailingData:
		status = http.StatusBadRequest
	case payload.TooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	field := found.Field
	if name, ok := fieldNames[field]; ok {
		field = name
	}
	return newFieldProblem(status, string(found.Reason), field, found.Detail)
}
