// SPDX-License-Identifier: Apache-2.0

package match_test

import (
	"slices"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/test/cost"
)

// Both ways of finding out who wants an event agree, and neither costs more than
// it is long.
func FuzzPatterns(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a"}, {"a.*", "a.b.c"}, {"a.b", "a.b"}, {"a.*.*", "a.b"}, {".*", "."}, {"", ""}, {strings.Repeat("a.", 60) + "*", strings.Repeat("a.", 60) + "b"},
		{strings.Repeat("*", 10_000), strings.Repeat(".", 128)}, {strings.Repeat("a.", 10_000) + "*", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, eventType string) {
		size := len(pattern) + len(eventType)
		var valid error
		var matches bool
		cost.Linear.Within(t, size, func() {
			valid = match.Validate(pattern)
			matches = match.Matches([]string{pattern}, eventType)
		})
		if valid != nil || payload.ValidateEventType(eventType) != nil {
			return
		}
		var selecting []string
		cost.Linear.Within(t, size, func() { selecting = slices.Collect(match.Patterns(eventType)) })
		if listed := slices.Contains(selecting, pattern); listed != matches {
			t.Errorf("%q selects %q: %t, and is among those that do: %t", pattern, eventType, matches, listed)
		}
	})
}
