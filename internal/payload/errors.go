// SPDX-License-Identifier: Apache-2.0

package payload

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
