// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is one member of a JSON object.
type Member struct {
	// Name has its escapes resolved.
	Name string
	// Value is JSON text as it stands in the object, in the object's memory.
	Value []byte
}

// Members takes the JSON object text apart, whatever the order and spelling of
// its members. No key may stand twice in it or in what it holds. whole is what
// errors call the text. Errors are *Error.
func Members(text []byte, whole string) ([]Member, error) {
	if !utf8.Valid(text) {
		found := invalidUTF8Error(text, "")
		found.Field = cmp.Or(found.Field, whole)
		return nil, found
	}
	dec := newDecoder(text)
	if err := beginValue(dec, jsontext.KindBeginObject, whole); err != nil {
		return nil, err
	}
	var members []Member
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxErrorIn(text, dec, whole, err)
		}
		member := Member{Name: name.String()} // before the decoder goes on
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxErrorIn(text, dec, whole, err)
		}
		end := int(dec.InputOffset())
		member.Value = text[end-len(value) : end : end]
		members = append(members, member)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(dec, whole, err)
	}
	return members, expectEnd(dec, whole)
}

// Field is the name as errors show it.
func (m Member) Field() string {
	return fieldPath(newDecoder(nil), jsontext.Pointer("").AppendToken(m.Name), "")
}

// IsNull reports whether the value is null.
func (m Member) IsNull() bool { return jsontext.Value(m.Value).Kind() == jsontext.KindNull }

// Text returns the value, which must be a string; else, or if it holds half of
// a surrogate pair, the error is an *Error, with this reason if it is no string.
func (m Member) Text(reason Reason) (string, error) {
	if kind := jsontext.Value(m.Value).Kind(); kind != jsontext.KindString {
		return "", &Error{Field: m.Field(), Reason: reason, Detail: "must be a string, not " + kindName(kind)}
	}
	text, err := jsontext.AppendUnquote(nil, m.Value)
	if err != nil { // the syntax is known to be right and the bytes to be UTF-8
		return "", loneSurrogateError(m.Field())
	}
	return string(text), nil
}
