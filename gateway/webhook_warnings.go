// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/match"
)

// maxWarnings bounds the event types of a webhook for which the catalogue is searched for
// a similar name.
const maxWarnings = 8

// unknownTypeWarnings warns of event types in a webhook that are not in the catalogue.
// They are accepted, because they may be registered later, but often they are misspelt.
// Where events of unregistered types may be published, only a type that is spelt nearly
// like a known one gets a warning.
func (h *webhookReader) unknownTypeWarnings(events []string) (warnings []rest.Warning) {
	var known []string
	for _, entry := range h.eventTypes.List() {
		known = append(known, entry.EventType)
	}
	for i, pattern := range events {
		if len(warnings) == maxWarnings {
			break
		}
		detail, isTypo := explainUnknownPattern(pattern, known)
		if detail == "" || h.eventTypes.AllowUnregistered && !isTypo {
			continue
		}
		warnings = append(warnings, rest.Warning{Field: fmt.Sprintf("events[%d]", i), Detail: detail, Reason: reasonTypeNotRegistered})
	}
	return warnings
}

// explainUnknownPattern explains that a pattern selects no known event type, and which
// type may be meant; isTypo: there is such a type.
func explainUnknownPattern(pattern string, known []string) (detail string, isTypo bool) {
	if pattern == match.Any || strings.HasPrefix(pattern, reservedPrefix) {
		return "", false
	}
	for _, eventType := range known {
		if match.Matches([]string{pattern}, eventType) {
			return "", false
		}
	}
	prefix, isPrefix := strings.CutSuffix(pattern, ".*")
	nearest, distance := "", maxEditDistance(prefix)+1
	for _, eventType := range known {
		for candidate := range candidatePatterns(eventType, isPrefix) {
			if d := editDistance(prefix, candidate, distance); d < distance {
				nearest, distance = candidate, d
			}
		}
	}
	what := fmt.Sprintf("%q is no event type of the catalogue", pattern)
	if isPrefix {
		what = fmt.Sprintf("no event type of the catalogue begins with %q", prefix+".")
	}
	if nearest == "" {
		return what + "; nothing is sent for it until there is one (GET /v1/event-types lists them)", false
	}
	if isPrefix {
		nearest += ".*"
	}
	return fmt.Sprintf("%s; did you mean %q?", what, nearest), true
}

// reservedPrefix begins the event types that this product itself sends.
const reservedPrefix = "bbmcp."

// candidatePatterns yields an event type, or each prefix of it.
func candidatePatterns(eventType string, prefixes bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		if !prefixes {
			yield(eventType)
			return
		}
		for i, c := range eventType {
			if c == '.' && !yield(eventType[:i]) {
				return
			}
		}
	}
}
