// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Info is what a body says.
type Info struct {
	EventType string
	// Timestamp is in UTC and has whole milliseconds.
	Timestamp time.Time
	// Data is the object below "data", in the memory of the body.
	Data []byte
}

// Check reads a body that was made elsewhere. It must be, byte for byte, what
// Build makes of its values; the error, an *Error, says where it is not.
func Check(body []byte) (Info, error) {
	if len(body) > MaxBytes {
		return Info{}, tooLarge()
	}
	if !utf8.Valid(body) {
		return Info{}, invalidUTF8(body, "")
	}
	s, err := split(body)
	if err != nil {
		return Info{}, err
	}
	timestamp, err := ParseTimestamp(s.timestamp)
	if err != nil {
		return Info{}, err
	}
	if want := FormatTimestamp(timestamp); s.timestamp != want {
		detail := fmt.Sprintf("write %q: UTC with Z, cut to milliseconds, which show only when not zero", want)
		return Info{}, &Error{Field: memberTimestamp, Reason: NotCanonical, Detail: detail}
	}
	canonical, err := Build(s.eventType, timestamp, s.data)
	if err != nil {
		return Info{}, err
	}
	if !bytes.Equal(body, canonical) {
		return Info{}, notCanonical(body, canonical)
	}
	return Info{EventType: s.eventType, Timestamp: timestamp, Data: s.data}, nil
}

// parts are the members of a body as they stand in it.
type parts struct {
	eventType, timestamp string
	data                 []byte
}

// split takes a body apart, whatever the order and spelling of its members.
func split(body []byte) (parts, error) {
	dec := newDecoder(body)
	if kind := dec.PeekKind(); kind != jsontext.KindBeginObject && kind != jsontext.KindInvalid {
		return parts{}, &Error{Field: wholePayload, Reason: NotAnObject, Detail: "must be a JSON object, not " + kindName(kind)}
	}
	if _, err := dec.ReadToken(); err != nil {
		return parts{}, syntaxError(dec, wholePayload, err)
	}
	var s parts
	var haveEvent, haveTimestamp bool
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return parts{}, syntaxError(dec, "", err)
		}
		switch name.String() {
		case memberEvent:
			s.eventType, err = readString(dec, memberEvent)
			haveEvent = true
		case memberTimestamp:
			s.timestamp, err = readString(dec, memberTimestamp)
			haveTimestamp = true
		case memberData:
			s.data, err = readRaw(dec, body)
		default:
			return parts{}, &Error{
				Field:  fieldOf(dec, dec.StackPointer(), ""),
				Reason: UnknownMember,
				Detail: "a payload holds event, timestamp and data and nothing else; move it into data",
			}
		}
		if err != nil {
			return parts{}, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return parts{}, syntaxError(dec, wholePayload, err)
	}
	for _, m := range []struct {
		name string
		have bool
	}{{memberEvent, haveEvent}, {memberTimestamp, haveTimestamp}, {memberData, s.data != nil}} {
		if !m.have {
			return parts{}, &Error{Field: m.name, Reason: MissingMember, Detail: "is missing: a payload holds event, timestamp and data"}
		}
	}
	return s, expectEnd(dec, wholePayload)
}

func readString(dec *jsontext.Decoder, name string) (string, error) {
	reason := InvalidEventType
	if name == memberTimestamp {
		reason = InvalidTimestamp
	}
	if kind := dec.PeekKind(); kind != jsontext.KindString && kind != jsontext.KindInvalid {
		return "", &Error{Field: name, Reason: reason, Detail: "must be a string, not " + kindName(kind)}
	}
	token, err := dec.ReadToken()
	if err != nil {
		return "", syntaxError(dec, "", err)
	}
	return token.String(), nil
}

// readRaw returns the next value as a part of body, which dec reads.
func readRaw(dec *jsontext.Decoder, body []byte) ([]byte, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return nil, syntaxError(dec, "", err)
	}
	end := int(dec.InputOffset())
	return body[end-len(value) : end : end], nil
}

// notCanonical says where body first differs from canonical.
func notCanonical(body, canonical []byte) *Error {
	n := 0
	for n < len(body) && n < len(canonical) && body[n] == canonical[n] {
		n++
	}
	field := fieldAt(body, n, "")
	if field == "" {
		field = wholePayload
	}
	const advice = "spell values as JSON.stringify(JSON.parse(payload)) does, without white space, members in the order event, timestamp, data"
	return &Error{
		Field:  field,
		Reason: NotCanonical,
		Detail: fmt.Sprintf("at offset %d there is %s, not %s: %s", n, excerpt(body[n:]), excerpt(canonical[n:]), advice),
	}
}
