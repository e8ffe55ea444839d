// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// Paths of the API on the unix socket.
const (
	pathAttempt  = "/v1/attempt"
	pathCheckURL = "/v1/check-url"
	pathReady    = "/readyz"
)

// A request travels as one frame: the length of the metadata in four bytes,
// most significant first, the metadata as JSON, the payload as it is.
const (
	frameHeaderBytes = 4
	maxMetadataBytes = 64 << 10
	maxResultBytes   = 64 << 10
)

var (
	errFrame    = errors.New("malformed frame")
	errMetadata = errors.New("what goes with the payload is larger than 64 KiB")
)

// metadata is a Request without its payload. Only here do secrets leave their
// type: the frame goes to the sidecar and nowhere else.
type metadata struct {
	DeliveryID  string         `json:"deliveryID"`
	EventID     string         `json:"eventID"`
	EventType   string         `json:"eventType"`
	Attempt     int            `json:"attempt"`
	URL         string         `json:"url"`
	Primary     []byte         `json:"primary"` // bytes: a secret need not be UTF-8
	Secondary   []byte         `json:"secondary,omitempty"`
	Timeout     time.Duration  `json:"timeout"`
	Test        bool           `json:"test,omitempty"`
	Forbidden   []netip.Prefix `json:"forbidden,omitempty"`
	TraceParent string         `json:"traceParent,omitempty"`
}

// frameHead returns the frame up to the payload.
func frameHead(r *Request) ([]byte, error) {
	encoded, err := json.Marshal(metadata{
		DeliveryID: r.DeliveryID, EventID: r.EventID, EventType: r.EventType, Attempt: r.Attempt, URL: r.URL,
		Primary: []byte(r.Keys.Primary.Reveal()), Secondary: []byte(r.Keys.Secondary.Reveal()),
		Timeout: r.Timeout, Test: r.Test, Forbidden: r.Forbidden, TraceParent: r.TraceParent,
	})
	if err != nil {
		return nil, fmt.Errorf("encode attempt: %w", err)
	}
	if len(encoded) > maxMetadataBytes {
		return nil, errMetadata
	}
	head := make([]byte, frameHeaderBytes, frameHeaderBytes+len(encoded))
	binary.BigEndian.PutUint32(head, uint32(len(encoded))) //nolint:gosec // G115: bounded above
	return append(head, encoded...), nil
}

// readFrame reads a frame of this many bytes in all.
func readFrame(r io.Reader, size int64) (Request, error) {
	if size < frameHeaderBytes || size > frameHeaderBytes+maxMetadataBytes+MaxPayloadBytes {
		return Request{}, errFrame
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return Request{}, fmt.Errorf("read frame: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(frame))
	if length > maxMetadataBytes || length > size-frameHeaderBytes {
		return Request{}, errFrame
	}
	var m metadata
	if err := json.Unmarshal(frame[frameHeaderBytes:frameHeaderBytes+length], &m); err != nil {
		return Request{}, errFrame // err may quote a part of the metadata
	}
	return Request{
		DeliveryID: m.DeliveryID, EventID: m.EventID, EventType: m.EventType, Attempt: m.Attempt, URL: m.URL,
		Payload: frame[frameHeaderBytes+length:],
		Keys:    signature.Keys{Primary: signature.NewSecret(string(m.Primary)), Secondary: signature.NewSecret(string(m.Secondary))},
		Timeout: m.Timeout, Test: m.Test, Forbidden: m.Forbidden, TraceParent: m.TraceParent,
	}, nil
}

// urlQuestion and urlAnswer are the two sides of CheckURL.
type urlQuestion struct {
	URL       string         `json:"url"`
	Forbidden []netip.Prefix `json:"forbidden,omitempty"`
}

type urlAnswer struct {
	Reason  Reason `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}
