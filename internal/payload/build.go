// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxBytes is the largest body, counted in bytes as it is sent.
	MaxBytes = 256 << 10
	// MaxDepth is how many objects and arrays may be open at once in the body.
	// The body itself is level 1 and data is level 2.
	MaxDepth = 64
	// MaxNumberBytes is the longest spelling of a number: room for the largest and
	// the smallest double without an exponent. Longer ones are refused before their
	// value is looked at.
	MaxNumberBytes = 400
)

// The members of a body, in their order.
const (
	memberEvent     = "event"
	memberTimestamp = "timestamp"
	memberData      = "data"
)

// wholePayload is the Field of errors about the body as a whole.
const wholePayload = "payload"

// Build returns the body {"event":…,"timestamp":…,"data":{…}}. data is one JSON
// object in any spelling; it is not changed and not kept. The timestamp is
// written by FormatTimestamp. Errors are *Error.
func Build(eventType string, timestamp time.Time, data []byte) ([]byte, error) {
	if err := ValidateEventType(eventType); err != nil {
		return nil, err
	}
	if !isTimestampInRange(timestamp) {
		return nil, &Error{Field: memberTimestamp, Reason: InvalidTimestamp, Detail: "outside the years 0001 to 9999 in UTC"}
	}
	if !utf8.Valid(data) {
		return nil, invalidUTF8Error(data, memberData)
	}
	const framing = 64 // the names, the timestamp, the punctuation
	b := payloadBuilder{
		dec: newDecoder(data),
		out: make([]byte, 0, min(len(data), MaxBytes)+len(eventType)+framing),
		// Enough for most events, so that neither grows step by step.
		members: make([]member, 0, 32),
		scratch: make([]byte, 0, 256),
	}
	b.out = append(b.out, `{"event":"`...)
	b.out = append(b.out, eventType...) // its grammar needs no escapes
	b.out = append(b.out, `","timestamp":"`...)
	b.out = append(b.out, FormatTimestamp(timestamp)...)
	b.out = append(b.out, `","data":`...)
	if err := b.data(); err != nil {
		return nil, err
	}
	b.out = append(b.out, '}')
	if len(b.out) > MaxBytes {
		return nil, tooLargeError()
	}
	return b.out, nil
}

// DataOf returns the data in a body that Build has made, in the memory of the
// body.
func DataOf(body []byte) []byte {
	const before = `,"data":` // the type and the timestamp hold no quotes
	return body[bytes.Index(body, []byte(before))+len(before) : len(body)-1]
}

// payloadBuilder copies JSON from dec to out, value by value.
type payloadBuilder struct {
	dec *jsontext.Decoder
	out []byte
	// members holds those of the objects that are open, innermost last.
	members []member
	scratch []byte
}

// data appends the one object that the decoder is to hold.
func (b *payloadBuilder) data() error {
	switch kind := b.dec.PeekKind(); kind {
	case jsontext.KindBeginObject:
	case jsontext.KindInvalid:
		_, err := b.dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return &Error{Field: memberData, Reason: NotAnObject, Detail: "is missing: send a JSON object, {} if there is nothing to say"}
		}
		return syntaxError(b.dec, memberData, err)
	default:
		return &Error{Field: memberData, Reason: NotAnObject, Detail: "must be a JSON object, not " + kindName(kind)}
	}
	if err := b.value(); err != nil {
		return err
	}
	return expectEnd(b.dec, memberData)
}

func (b *payloadBuilder) value() error {
	var err error
	switch b.dec.PeekKind() {
	case jsontext.KindBeginObject:
		err = b.object()
	case jsontext.KindBeginArray:
		err = b.array()
	case jsontext.KindString:
		err = b.string()
	case jsontext.KindNumber:
		err = b.number()
	default: // a literal, or no JSON
		var raw jsontext.Value
		if raw, err = b.dec.ReadValue(); err != nil {
			return syntaxError(b.dec, memberData, err)
		}
		b.out = append(b.out, raw...)
	}
	if err == nil && len(b.out) > MaxBytes {
		err = tooLargeError()
	}
	return err
}

func (b *payloadBuilder) object() error {
	if err := b.open(); err != nil {
		return err
	}
	outer := len(b.members)
	for b.dec.PeekKind() != jsontext.KindEndObject {
		if len(b.members) > outer {
			b.out = append(b.out, ',')
		}
		start := len(b.out)
		if err := b.string(); err != nil {
			return err
		}
		rank := memberRank(b.out[start+1 : len(b.out)-1])
		b.out = append(b.out, ':')
		if err := b.value(); err != nil {
			return err
		}
		b.members = append(b.members, member{start: start, end: len(b.out), rank: rank})
	}
	if members := b.members[outer:]; !membersInOrder(members) {
		b.scratch = reorderMembers(b.out, members, b.scratch)
	}
	b.members = b.members[:outer]
	return b.close()
}

func (b *payloadBuilder) array() error {
	if err := b.open(); err != nil {
		return err
	}
	for first := true; b.dec.PeekKind() != jsontext.KindEndArray; first = false {
		if !first {
			b.out = append(b.out, ',')
		}
		if err := b.value(); err != nil {
			return err
		}
	}
	return b.close()
}

// open reads and appends a '{' or '['.
func (b *payloadBuilder) open() error {
	tok, err := b.dec.ReadToken()
	if err != nil {
		return syntaxError(b.dec, memberData, err)
	}
	if b.dec.StackDepth()+1 > MaxDepth { // the body itself is one more
		return tooDeepError(fieldPath(b.dec, b.dec.StackPointer(), memberData))
	}
	b.out = append(b.out, byte(tok.Kind()))
	return nil
}

// close reads and appends a '}' or ']'.
func (b *payloadBuilder) close() error {
	tok, err := b.dec.ReadToken()
	if err != nil {
		return syntaxError(b.dec, memberData, err)
	}
	b.out = append(b.out, byte(tok.Kind()))
	return nil
}

// string copies a string or a key. One without a backslash is already written
// as JSON.stringify writes it, since JSON allows no bare control characters.
func (b *payloadBuilder) string() error {
	raw, err := b.dec.ReadValue()
	if err != nil {
		return syntaxError(b.dec, memberData, err)
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		b.out = append(b.out, raw...)
		return nil
	}
	b.scratch, err = jsontext.AppendUnquote(b.scratch[:0], raw)
	if err != nil {
		// The syntax is known to be right and the bytes to be UTF-8.
		return loneSurrogateError(fieldPath(b.dec, b.dec.StackPointer(), memberData))
	}
	b.out, err = jsontext.AppendQuote(b.out, b.scratch)
	return err
}

func (b *payloadBuilder) number() error {
	raw, err := b.dec.ReadValue()
	if err != nil {
		return syntaxError(b.dec, memberData, err)
	}
	if len(raw) > MaxNumberBytes {
		detail := fmt.Sprintf("the number %s has %d characters, at most %d are allowed; write it shorter, or send it as a string", errorExcerpt(raw), len(raw), MaxNumberBytes)
		return &Error{Field: fieldPath(b.dec, b.dec.StackPointer(), memberData), Reason: NumberTooLong, Detail: detail}
	}
	var reason Reason
	if b.out, reason = appendNumber(b.out, raw); reason != "" {
		detail := numberDetail(raw, reason)
		return &Error{Field: fieldPath(b.dec, b.dec.StackPointer(), memberData), Reason: reason, Detail: detail}
	}
	return nil
}
