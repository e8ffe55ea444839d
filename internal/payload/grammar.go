// SPDX-License-Identifier: Apache-2.0

package payload

import "fmt"

// Limits of the two grammars, in bytes.
const (
	MaxEventIDBytes   = 64
	MaxEventTypeBytes = 128
)

// ValidateEventID returns an *Error with the field "id" unless id matches
// [A-Za-z0-9_-]{1,64}.
func ValidateEventID(id string) error {
	refuse := func(detail string) error { return &Error{Field: "id", Reason: InvalidEventID, Detail: detail} }
	const characters = `use only letters, digits, "_" and "-"`
	if id == "" {
		return refuse("is empty: " + characters)
	}
	if n := len(id); n > MaxEventIDBytes {
		return refuse(fmt.Sprintf("%d bytes, at most %d are allowed", n, MaxEventIDBytes))
	}
	for _, c := range []byte(id) {
		if !isAlphanumeric(c) && c != '_' && c != '-' {
			return refuse(characters)
		}
	}
	return nil
}

// ValidateEventType returns an *Error with the field "event" unless eventType
// matches [A-Za-z0-9][A-Za-z0-9_.-]{0,127}.
func ValidateEventType(eventType string) error {
	refuse := func(detail string) error {
		return &Error{Field: memberEvent, Reason: InvalidEventType, Detail: detail}
	}
	const grammar = `begin with a letter or digit and use only letters, digits, "_", "." and "-"`
	if eventType == "" {
		return refuse("is empty: " + grammar)
	}
	if n := len(eventType); n > MaxEventTypeBytes {
		return refuse(fmt.Sprintf("%d bytes, at most %d are allowed", n, MaxEventTypeBytes))
	}
	for i, c := range []byte(eventType) {
		if !isAlphanumeric(c) && (i == 0 || c != '_' && c != '.' && c != '-') {
			return refuse(grammar)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
