// SPDX-License-Identifier: Apache-2.0

package match_test

import (
	"slices"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestMatches(t *testing.T) {
	tests := []struct {
		name      string
		patterns  []string
		eventType string
		want      bool
	}{
		{"a type matches itself", []string{"context.created"}, "context.created", true},
		{"a type does not match another", []string{"context.created"}, "context.failed", false},
		{"a type is no prefix", []string{"context"}, "context.created", false},
		{"a longer type does not match a shorter", []string{"context.created"}, "context", false},
		{"case counts", []string{"Context.created"}, "context.created", false},
		{"a prefix matches one level", []string{"context.*"}, "context.created", true},
		{"a prefix matches any depth", []string{"context.*"}, "context.created.v2.eu", true},
		{"a deep prefix matches below it", []string{"context.created.*"}, "context.created.v2", true},
		{"a deep prefix does not match beside it", []string{"context.created.*"}, "context.failed.v2", false},
		{"a prefix does not match itself", []string{"context.*"}, "context", false},
		{"a prefix ends at its dot", []string{"context.*"}, "contextual.created", false},
		{"a prefix matches a type that ends in its dot", []string{"context.*"}, "context.", true},
		{"a star matches everything", []string{"*"}, "anything-at_all.1", true},
		{"the second pattern counts", []string{"a.b", "context.*"}, "context.created", true},
		{"none of several", []string{"a.b", "c.*"}, "context.created", false},
		{"no patterns match nothing", nil, "context.created", false},
		{"an empty pattern matches nothing", []string{""}, "context.created", false},
		{"a dot and a star match nothing", []string{".*"}, ".hidden", false},
		{"a star without a dot is no prefix", []string{"context*"}, "context.created", false},
		{"a star in the middle is no wildcard", []string{"a.*.c"}, "a.b.c", false},
		{"a star does not match a question", []string{"context.?"}, "context.a", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := match.Matches(tt.patterns, tt.eventType); got != tt.want {
				t.Errorf("Matches(%q, %q) = %v, want %v", tt.patterns, tt.eventType, got, tt.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	const (
		star    = `a star stands alone, for all events, or at the end after a dot, as in "context.*"`
		grammar = `not an event type: begin with a letter or digit and use only letters, digits, "_", "." and "-"`
		length  = `not an event type: 129 bytes, at most 128 are allowed`
	)
	long := strings.Repeat("a", 128)
	tests := []struct {
		name    string
		pattern string
		want    string // "" is valid
	}{
		{"a type", "context.created", ""},
		{"a type of the largest length", long, ""},
		{"a prefix", "context.*", ""},
		{"a prefix of one letter", "a.*", ""},
		{"a prefix of the largest length", long[1:] + ".*", ""},
		{"a star", "*", ""},
		{"nothing", "", `empty pattern: name an event type, "prefix.*", or "*" for all`},
		{"two stars", "**", star},
		{"a star without a dot", "context*", star},
		{"a star in front", "*.created", star},
		{"a star in the middle", "a.*.c", star},
		{"two stars at the end", "a.*.*", star},
		{"a dot and a star", ".*", star},
		{"a leading dot", ".a.*", grammar},
		{"a space", "context created", grammar},
		{"a line feed at the end", "context.created\n", grammar},
		{"a letter outside ASCII", "kontext.geöffnet", grammar},
		{"a type that is too long", long + "a", length},
		{"a prefix no type can begin with", long + ".*", length},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			if err := match.Validate(tt.pattern); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.want == "" && len(tt.pattern) > match.MaxPatternBytes {
				t.Errorf("a valid pattern of %d bytes, MaxPatternBytes is %d", len(tt.pattern), match.MaxPatternBytes)
			}
		})
	}
}

// TestPatterns compares with Matches for every pattern and type of up to five
// characters that matter.
func TestPatterns(t *testing.T) {
	var texts []string
	var add func(text string)
	add = func(text string) {
		texts = append(texts, text)
		if len(text) < 5 {
			for _, c := range "ab.*" {
				add(text + string(c))
			}
		}
	}
	add("")
	compared := 0
	for _, eventType := range texts {
		if payload.ValidateEventType(eventType) != nil {
			continue
		}
		selecting := slices.Collect(match.Patterns(eventType))
		if unique := slices.Compact(slices.Sorted(slices.Values(selecting))); len(unique) != len(selecting) {
			t.Errorf("Patterns(%q) = %q, some of them twice", eventType, selecting)
		}
		for _, pattern := range texts {
			if match.Validate(pattern) != nil {
				continue
			}
			compared++
			if got, want := slices.Contains(selecting, pattern), match.Matches([]string{pattern}, eventType); got != want {
				t.Errorf("Patterns(%q) holds %q: %v, but Matches says %v", eventType, pattern, got, want)
			}
		}
	}
	if compared < 10_000 {
		t.Errorf("only %d pairs were compared", compared)
	}
}
