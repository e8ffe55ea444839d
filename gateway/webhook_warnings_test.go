// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"
)

func TestUnknownPatternsAreExplained(t *testing.T) {
	known := []string{"context.confirmed", "context.created", "context.failed", "order.line.added", "verification.completed"}
	tests := []struct{ pattern, want string }{
		{"*", ""},
		{"context.created", ""},
		{"context.*", ""},
		{"order.line.*", ""},
		{"bbmcp.webhook.failing", ""},
		{"bbmcp.*", ""},
		{"context.craeted", `"context.craeted" is no event type of the catalogue; did you mean "context.created"?`},
		{"contxt.created", `"contxt.created" is no event type of the catalogue; did you mean "context.created"?`},
		{"Context.Created", `"Context.Created" is no event type of the catalogue; did you mean "context.created"?`},
		{"context.create", `"context.create" is no event type of the catalogue; did you mean "context.created"?`},
		{"contxt.*", `no event type of the catalogue begins with "contxt."; did you mean "context.*"?`},
		{"order.lines.*", `no event type of the catalogue begins with "order.lines."; did you mean "order.line.*"?`},
		{"invoice.paid", `"invoice.paid" is no event type of the catalogue; nothing is sent for it until there is one (GET /v1/event-types lists them)`},
		{"invoice.*", `no event type of the catalogue begins with "invoice."; nothing is sent for it until there is one (GET /v1/event-types lists them)`},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			got, sure := explainUnknownPattern(tt.pattern, known)
			if got != tt.want || sure != strings.Contains(tt.want, "did you mean") {
				t.Errorf("got %q, %v\nwant %q", got, sure, tt.want)
			}
		})
	}
}

// The largest list of the longest names beside a large catalogue of names like
// them costs milliseconds.
func BenchmarkUnknownPatterns(b *testing.B) {
	var known []string
	for i := range 2000 {
		known = append(known, strings.Repeat("a", 100)+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)))
	}
	for b.Loop() {
		for range maxWarnings {
			explainUnknownPattern(strings.Repeat("a", 100)+".xyz", known)
		}
	}
}
