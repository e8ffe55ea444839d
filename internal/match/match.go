// SPDX-License-Identifier: Apache-2.0

package match

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// Any is the pattern that matches every event type.
const Any = "*"

// MaxPatternBytes is the length of the longest valid pattern: a prefix that a
// type of the largest length can still begin with, and its star.
const MaxPatternBytes = payload.MaxEventTypeBytes + 1

// Matches reports whether one of the patterns selects eventType. A pattern is
// an event type, which matches itself only; a prefix followed by ".*", which
// matches whatever begins with the prefix and the dot, at any depth, but not
// the prefix alone; or Any. Case counts. No patterns match nothing, and an
// invalid pattern matches nothing either.
func Matches(patterns []string, eventType string) bool {
	for _, pattern := range patterns {
		if matchesPattern(pattern, eventType) {
			return true
		}
	}
	return false
}

func matchesPattern(pattern, eventType string) bool {
	if pattern == Any {
		return true
	}
	if prefix, ok := cutWildcard(pattern); ok {
		return strings.HasPrefix(eventType, prefix)
	}
	return pattern == eventType
}

// Patterns yields every valid pattern that selects eventType, so that who wants
// an event can be looked up instead of asked one by one: as many as the type has
// dots, and two.
func Patterns(eventType string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(Any) || !yield(eventType) {
			return
		}
		for i := 1; i < len(eventType); i++ {
			if eventType[i] == '.' && !yield(eventType[:i+1]+"*") {
				return
			}
		}
	}
}

// cutWildcard returns "a.b." for "a.b.*". The dot stays: it is what keeps "a.*"
// from matching "ab", and a lone ".*" from matching everything.
func cutWildcard(pattern string) (prefix string, ok bool) {
	prefix, ok = strings.CutSuffix(pattern, "*")
	return prefix, ok && len(prefix) > 1 && strings.HasSuffix(prefix, ".")
}

// IsWildcard reports whether a pattern can match more than one event type.
func IsWildcard(pattern string) bool { return pattern == Any || strings.HasSuffix(pattern, ".*") }

// Validate returns an error that says how to write the pattern, or nil. It
// never repeats the pattern, which the caller knows and may have any length.
func Validate(pattern string) error {
	if pattern == "" {
		return errors.New(`empty pattern: name an event type, "prefix.*", or "*" for all`)
	}
	if pattern == Any {
		return nil
	}
	eventType := pattern
	if prefix, ok := cutWildcard(pattern); ok {
		eventType = prefix
	}
	if strings.Contains(eventType, "*") {
		return errors.New(`a star stands alone, for all events, or at the end after a dot, as in "context.*"`)
	}
	if err, ok := errors.AsType[*payload.Error](payload.ValidateEventType(eventType)); ok {
		return fmt.Errorf("not an event type: %s", err.Detail)
	}
	return nil
}
