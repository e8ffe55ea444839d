// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// newDecoder returns a decoder that reads src in place. Whether it is UTF-8 is
// looked at before, whether escapes make sense when they are resolved.
func newDecoder(src []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowInvalidUTF8(true))
}

// beginValue reads the '{' or '['.
func beginValue(dec *jsontext.Decoder, want jsontext.Kind, whole string) error {
	if kind := dec.PeekKind(); kind != want && kind != jsontext.KindInvalid {
		return &Error{Field: whole, Reason: NotAnObject, Detail: "must be " + kindName(want) + ", not " + kindName(kind)}
	}
	if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
		return &Error{Field: whole, Reason: InvalidJSON, Detail: "is empty; send JSON"}
	} else if err != nil {
		return syntaxError(dec, whole, err)
	}
	return nil
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

// expectEnd reads what must be the end of the text.
func expectEnd(dec *jsontext.Decoder, root string) error {
	offset := dec.InputOffset()
	if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
		return nil
	}
	return &Error{Field: root, Reason: TrailingData, Detail: fmt.Sprintf("something follows the JSON object after offset %d; send one object", offset)}
}
