// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
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
			p.ID, err = jsonEventID(member)
		case "timestamp":
			p.Timestamp, err = jsonEventTimestamp(member)
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

func jsonEventID(member payload.Member) (string, error) {
	id, err := member.Text(payload.InvalidEventID)
	if err != nil {
		return "", err
	}
	return id, payload.ValidateEventID(id)
}

func jsonEventTimestamp(member payload.Member) (*time.Time, error) {
	text, err := member.Text(payload.InvalidTimestamp)
	if err != nil {
		return nil, err
	}
	parsed, err := payload.ParseTimestamp(text)
	return &parsed, err
}
