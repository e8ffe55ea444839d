// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Reason names what is wrong with a payload, an event id or an event type. The
// set is closed and part of the API: values are never reworded.
type Reason string

// The reasons.
const (
	// InvalidEventType: the type does not match its grammar.
	InvalidEventType Reason = "InvalidEventType"
	// InvalidEventID: the id does not match its grammar.
	InvalidEventID Reason = "InvalidEventID"
	// InvalidTimestamp: not RFC 3339, or outside the years 0001 to 9999 in UTC.
	InvalidTimestamp Reason = "InvalidTimestamp"
	// InvalidJSON: not JSON by RFC 8259.
	InvalidJSON Reason = "InvalidJSON"
	// NotAnObject: JSON, but data or the payload is no object.
	NotAnObject Reason = "NotAnObject"
	// TrailingData: something follows the object.
	TrailingData Reason = "TrailingData"
	// InvalidUTF8: bytes that are not UTF-8.
	InvalidUTF8 Reason = "InvalidUTF8"
	// LoneSurrogate: an escape such as \ud800 without its other half.
	LoneSurrogate Reason = "LoneSurrogate"
	// DuplicateKey: a key that stands twice in one object, escapes resolved.
	DuplicateKey Reason = "DuplicateKey"
	// NumberNotExact: JavaScript would print another decimal value.
	NumberNotExact Reason = "NumberNotExact"
	// NegativeZero: -0, which JavaScript prints as 0.
	NegativeZero Reason = "NegativeZero"
	// NumberTooLong: a number of more than MaxNumberBytes characters.
	NumberTooLong Reason = "NumberTooLong"
	// TooDeep: more than MaxDepth levels.
	TooDeep Reason = "TooDeep"
	// TooLarge: more than MaxBytes bytes.
	TooLarge Reason = "TooLarge"
	// MissingMember: a payload without event, timestamp or data.
	MissingMember Reason = "MissingMember"
	// UnknownMember: a payload with another member beside these.
	UnknownMember Reason = "UnknownMember"
	// NotCanonical: the values can be carried, but are spelt otherwise than
	// Build spells them.
	NotCanonical Reason = "NotCanonical"
)

// Error is why an input was refused.
type Error struct {
	// Field is the place in the payload: "event", "timestamp", "id",
	// "data.items[3].price", or "payload" for the whole. Long names and long
	// paths are shortened, names that are no identifiers are quoted.
	Field string
	// Reason is for programs, Detail for people: what is wrong and what to do.
	Reason Reason
	Detail string
}

func (e *Error) Error() string { return e.Field + ": " + e.Detail }

func loneSurrogateError(field string) *Error {
	const detail = `half of a surrogate pair, such as \ud800, is no character; send both halves or replace it by \ufffd`
	return &Error{Field: field, Reason: LoneSurrogate, Detail: detail}
}

func tooLargeError() *Error {
	detail := fmt.Sprintf("more than %d bytes; send a reference to the content instead of the content", MaxBytes)
	return &Error{Field: wholePayload, Reason: TooLarge, Detail: detail}
}

// notCanonicalError says where body first differs from canonical.
func notCanonicalError(body, canonical []byte) *Error {
	n := 0
	for n < len(body) && n < len(canonical) && body[n] == canonical[n] {
		n++
	}
	field := fieldPathAt(body, n, "")
	if field == "" {
		field = wholePayload
	}
	const advice = "spell values as JSON.stringify(JSON.parse(payload)) does, without white space, members in the order event, timestamp, data"
	return &Error{
		Field:  field,
		Reason: NotCanonical,
		Detail: fmt.Sprintf("at offset %d there is %s, not %s: %s", n, errorExcerpt(body[n:]), errorExcerpt(canonical[n:]), advice),
	}
}

func invalidUTF8Error(src []byte, root string) *Error {
	offset := 0
	for offset < len(src) {
		r, size := utf8.DecodeRune(src[offset:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		offset += size
	}
	detail := fmt.Sprintf("the byte 0x%02x at offset %d is not UTF-8; encode text as UTF-8 and bytes as base64", src[offset], offset)
	return &Error{Field: fieldPathAt(src, offset, root), Reason: InvalidUTF8, Detail: detail}
}

// syntaxError explains an error of dec, which read the JSON text below root.
func syntaxError(dec *jsontext.Decoder, root string, err error) error {
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return &Error{Field: root, Reason: InvalidJSON, Detail: "not JSON: it ends too early"}
	}
	field := fieldPath(dec, syntactic.JSONPointer, root)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &Error{Field: field, Reason: DuplicateKey, Detail: "the key stands twice in one object and JavaScript keeps only the last; send it once"}
	}
	if strings.Count(string(syntactic.JSONPointer), "/") > MaxDepth { // decoders follow to some depth, too
		return tooDeepError(field)
	}
	what := syntactic.Err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "it ends too early"
	}
	return &Error{Field: field, Reason: InvalidJSON, Detail: fmt.Sprintf("not JSON at offset %d: %s", syntactic.ByteOffset, what)}
}

func tooDeepError(field string) error {
	detail := fmt.Sprintf("more than %d levels of objects and arrays, the payload itself and data counted; flatten it", MaxDepth)
	return &Error{Field: field, Reason: TooDeep, Detail: detail}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "an object"
	}
}

// errorExcerpt shows the beginning of raw.
func errorExcerpt(raw []byte) string {
	// A cut further on than any character is long makes no difference.
	return quoteExcerpt(string(raw[:min(len(raw), maxExcerptBytes+utf8.UTFMax)]), maxExcerptBytes)
}

// syntaxErrorIn is syntaxError about a value that dec read whole: it does not
// know the indexes in it, so the place is looked up.
func syntaxErrorIn(text []byte, dec *jsontext.Decoder, whole string, err error) error {
	explained := syntaxError(dec, whole, err)
	found, ok := errors.AsType[*Error](explained)
	if syntactic, is := errors.AsType[*jsontext.SyntacticError](err); ok && is {
		found.Field = cmp.Or(fieldPathAt(text, int(syntactic.ByteOffset), ""), whole)
	}
	return explained
}

// quoteExcerpt quotes s, so that it prints on one line, and cuts it to n bytes or a
// little less, never within a character.
func quoteExcerpt(s string, n int) string {
	if len(s) <= n {
		return strconv.Quote(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strconv.Quote(s[:n]) + "…"
}
