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
		return Info{}, tooLargeError()
	}
	if !utf8.Valid(body) {
		return Info{}, invalidUTF8Error(body, "")
	}
	s, err := splitBody(body)
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
		return Info{}, notCanonicalError(body, canonical)
	}
	return Info{EventType: s.eventType, Timestamp: timestamp, Data: s.data}, nil
}

// bodyParts are the members of a body as they stand in it.
type bodyParts struct {
	eventType, timestamp string
	data                 []byte
}

// splitBody takes a body apart, whatever the order and spelling of its members.
func splitBody(body []byte) (bodyParts, error) {
	dec := newDecoder(body)
	if kind := dec.PeekKind(); kind != jsontext.KindBeginObject && kind != jsontext.KindInvalid {
		return bodyParts{}, &Error{Field: wholePayload, Reason: NotAnObject, Detail: "must be a JSON object, not " + kindName(kind)}
	}
	if _, err := dec.ReadToken(); err != nil {
		return bodyParts{}, syntaxError(dec, wholePayload, err)
	}
	var s bodyParts
	var haveEvent, haveTimestamp bool
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return bodyParts{}, syntaxError(dec, "", err)
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
			return bodyParts{}, &Error{
				Field:  fieldPath(dec, dec.StackPointer(), ""),
				Reason: UnknownMember,
				Detail: "a payload holds event, timestamp and data and nothing else; move it into data",
			}
		}
		if err != nil {
			return bodyParts{}, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return bodyParts{}, syntaxError(dec, wholePayload, err)
	}
	for _, m := range []struct {
		name string
		have bool
	}{{memberEvent, haveEvent}, {memberTimestamp, haveTimestamp}, {memberData, s.data != nil}} {
		if !m.have {
			return bodyParts{}, &Error{Field: m.name, Reason: MissingMember, Detail: "is missing: a payload holds event, timestamp and data"}
		}
	}
	return s, expectEnd(dec, wholePayload)
}

// IsShallow reports whether text is one JSON value with no more levels than a body
// may have. Duplicate keys are let pass.
func IsShallow(text []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	for {
		switch _, err := dec.ReadToken(); {
		case errors.Is(err, io.EOF):
			return false // nothing at all
		case err != nil || dec.StackDepth() > MaxDepth:
			return false
		case dec.StackDepth() == 0:
			return expectEnd(dec, "") == nil
		}
	}
}
