// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

const (
	eventsPath     = "/v1/events"
	eventTypesPath = "/v1/event-types"
	idempotencyKey = "Idempotency-Key"
)

// Publish publishes an event to every webhook that wants it. When it returns
// without an error, every delivery is durable. An event without an ID gets one
// here, before the first request, so that a repetition makes no second delivery.
// When Publish fails, publish again with the ID that [EventID] finds in the
// error.
//
// The spelling of Data is sent as it is; the API normalises it.
func (c *Client) Publish(ctx context.Context, event rest.EventPublish) (*rest.Published, error) {
	if event.ID == "" {
		event.ID = newEventID(time.Now())
	}
	body, err := encodeEvent(event)
	if err != nil {
		return nil, err
	}
	published, err := c.publish(ctx, body, "")
	if err != nil {
		return nil, &publishError{id: event.ID, err: err}
	}
	return published, nil
}

// PublishJSON publishes an event whose body exists already, byte for byte: the
// JSON object of POST /v1/events. The id goes beside it as Idempotency-Key; it
// may be empty if the body has one. Without any id nothing is repeated.
func (c *Client) PublishJSON(ctx context.Context, body []byte, id string) (*rest.Published, error) {
	if id == "" {
		given := struct {
			ID string `json:"id"`
		}{}
		if json.Unmarshal(body, &given) != nil || given.ID == "" {
			return c.publishWith(ctx, call{body: body})
		}
	}
	return c.publish(ctx, body, id)
}

func (c *Client) publish(ctx context.Context, body []byte, id string) (*rest.Published, error) {
	event := call{body: body, repeatable: true}
	if id != "" {
		event.header = http.Header{idempotencyKey: {id}}
	}
	return c.publishWith(ctx, event)
}

// PublishCloudEvent publishes one CloudEvent in structured mode: a JSON object
// with specversion, id, source and type. Its source and id make it idempotent.
func (c *Client) PublishCloudEvent(ctx context.Context, event json.RawMessage) (*rest.Published, error) {
	return c.publishWith(ctx, call{body: event, contentType: typeEvent, repeatable: true})
}

// PublishCloudEvents publishes a batch of CloudEvents. The answer has a result
// for each, in order; look at all of them.
func (c *Client) PublishCloudEvents(ctx context.Context, events []json.RawMessage) (*rest.BatchPublished, error) {
	body, err := requestJSON(events)
	if err != nil {
		return nil, err
	}
	published := &rest.BatchPublished{}
	_, err = c.doRequest(ctx, call{method: http.MethodPost, path: eventsPath, body: body, contentType: typeEventBatch, repeatable: true}, published)
	if err != nil {
		return nil, err
	}
	return published, nil
}

func (c *Client) publishWith(ctx context.Context, event call) (*rest.Published, error) {
	event.method, event.path = http.MethodPost, eventsPath
	published := &rest.Published{}
	if _, err := c.doRequest(ctx, event, published); err != nil {
		return nil, err
	}
	return published, nil
}

// ListEventTypes returns the catalogue.
func (c *Client) ListEventTypes(ctx context.Context) (*rest.EventTypeList, error) {
	list := &rest.EventTypeList{}
	if _, err := c.doRequest(ctx, call{method: http.MethodGet, path: eventTypesPath, repeatable: true}, list); err != nil {
		return nil, err
	}
	return list, nil
}

// EventTypes yields the catalogue, by type. It ends after the first error.
func (c *Client) EventTypes(ctx context.Context) iter.Seq2[rest.EventType, error] {
	return pages(ctx, 0, func(ctx context.Context, _ Page) ([]rest.EventType, *string, error) {
		list, err := c.ListEventTypes(ctx)
		if err != nil {
			return nil, nil, err
		}
		return list.Data, nil, nil // the catalogue is one page
	})
}

// encodeEvent writes the body of POST /v1/events with data as it is spelled.
func encodeEvent(event rest.EventPublish) ([]byte, error) {
	if !json.Valid(event.Data) { // it could end the object and go on
		return nil, errors.New("bbmcp: the event's data is not JSON")
	}
	var body bytes.Buffer
	separator := "{"
	text := func(name, value string) error {
		encoded, err := requestJSON(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&body, "%s%q:%s", separator, name, encoded)
		separator = ","
		return nil
	}
	if err := text("event", event.Event); err != nil {
		return nil, err
	}
	fmt.Fprintf(&body, `,"data":%s`, event.Data)
	for _, member := range [][2]string{{"timestamp", event.Timestamp}, {"id", event.ID}} {
		if member[1] == "" {
			continue
		}
		if err := text(member[0], member[1]); err != nil {
			return nil, err
		}
	}
	body.WriteByte('}')
	return body.Bytes(), nil
}
