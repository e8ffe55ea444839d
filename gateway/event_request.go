// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

const (
	// maxEventBytes bounds a request with one event. Its payload is at most
	// payload.MaxBytes, but may be spelt with white space and escapes.
	maxEventBytes = 1 << 20
	// maxBatchBytes and maxBatchItems bound a batch.
	maxBatchBytes = 8 << 20
	maxBatchItems = 100
)

// Media types of events.
const (
	mediaJSON            = "application/json"
	mediaCloudEvent      = "application/cloudevents+json"
	mediaCloudEventBatch = "application/cloudevents-batch+json"
)

// bodyFormat is how a request carries events.
type bodyFormat int

const (
	formatJSON bodyFormat = iota
	formatStructured
	formatBinary
	formatBatch
)

// PublishRequest is a request with events. The handler reads the body itself, because its
// exact spelling matters.
type PublishRequest struct {
	Scope

	Prefer         string `header:"Prefer" doc:"How long to wait for first attempts: wait=N seconds (RFC 7240), at most 10, or respond-async: not at all"`
	IdempotencyKey string `header:"Idempotency-Key" doc:"The event id, as the member id of the body; not for CloudEvents"`

	request *http.Request
}

// Resolve implements huma.Resolver.
func (in *PublishRequest) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

// detectFormat finds the format of the events. Content-Type goes before the headers of a
// CloudEvent (CloudEvents HTTP binding, section 3).
func (in *PublishRequest) detectFormat() (bodyFormat, error) {
	header := in.request.Header
	mediaType, parameters := mediaJSON, map[string]string(nil)
	if given := header.Get("Content-Type"); given != "" {
		var err error
		if mediaType, parameters, err = mime.ParseMediaType(given); err != nil {
			return 0, unknownRequestFormat()
		}
	}
	switch {
	case mediaType == mediaCloudEvent && isCloudEventJSON(mediaType, parameters):
		return formatStructured, nil
	case mediaType == mediaCloudEventBatch && isCloudEventJSON(mediaType, parameters):
		return formatBatch, nil
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		return 0, unknownRequestFormat()
	case hasCloudEventAttributes(header):
		return formatBinary, nil
	case mediaType == mediaJSON && isCloudEventJSON(mediaType, parameters):
		return formatJSON, nil
	default:
		return 0, unknownRequestFormat()
	}
}

func unknownRequestFormat() error {
	return mediaTypeProblem("header.Content-Type",
		fmt.Sprintf("must be %s, %s or %s, in UTF-8", mediaJSON, mediaCloudEvent, mediaCloudEventBatch))
}

// readBody reads the body, of at most limit bytes.
func (in *PublishRequest) readBody(ctx context.Context, limit int64) ([]byte, error) {
	if body := requestInfoOf(ctx).body; body != nil {
		body.limit = limit
	}
	return io.ReadAll(in.request.Body)
}

// parseEvent parses the event of a request that carries one.
func (in *PublishRequest) parseEvent(as bodyFormat, body []byte) (*publish.Event, error) {
	header := in.request.Header
	var p *publish.Event
	var err error
	switch as {
	case formatStructured:
		p, err = parseCloudEvent(body)
	case formatBinary:
		p, err = parseBinaryCloudEvent(header, body)
	default:
		p, err = parseJSONEvent(body)
	}
	if err == nil && as == formatJSON {
		err = applyIdempotencyKey(p, header)
	} else if err == nil {
		err = in.refuseIdempotencyKey()
	}
	if err != nil {
		return nil, problemFromPayload(err, nil)
	}
	applyTraceParent(p, header)
	return p, nil
}

// refuseIdempotencyKey refuses the header with a CloudEvent, whose id comes from its
// source and id.
func (in *PublishRequest) refuseIdempotencyKey() error {
	if len(in.request.Header.Values(keyHeader)) == 0 {
		return nil
	}
	return &payload.Error{Field: "header." + keyHeader, Reason: payload.InvalidEventID, Detail: "does not go with a CloudEvent: its source and id make the event id; leave the header out"}
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
