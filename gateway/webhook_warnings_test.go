// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"math/rand/v2"
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

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b   string
		enough int
		want   int
	}{
		{"", "", 3, 0},
		{"created", "created", 3, 0},
		{"craeted", "created", 3, 1},
		{"ceated", "created", 3, 1},
		{"creatted", "created", 3, 1},
		{"crested", "created", 3, 1},
		{"reatedc", "created", 3, 2},
		{"failed", "created", 3, 3},
		{"abcdefgh", "created", 3, 3},
		{"a", "created", 3, 3},
	}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b, tt.enough); got != tt.want {
			t.Errorf("editDistance(%q, %q, %d) is %d, want %d", tt.a, tt.b, tt.enough, got, tt.want)
		}
		if got := editDistance(tt.b, tt.a, tt.enough); got != tt.want {
			t.Errorf("editDistance(%q, %q, %d) is %d, want %d", tt.b, tt.a, tt.enough, got, tt.want)
		}
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

// TestEditDistanceMatchesAFullTable compares with the whole table, on short texts of few letters.
func TestEditDistanceMatchesAFullTable(t *testing.T) {
	whole := func(a, b string) int {
		d := make([][]int, len(a)+1)
		for i := range d {
			d[i] = make([]int, len(b)+1)
			for j := range d[i] {
				switch {
				case i == 0 || j == 0:
					d[i][j] = i + j
				case a[i-1] == b[j-1]:
					d[i][j] = d[i-1][j-1]
				default:
					d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
				}
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d[i][j] = min(d[i][j], d[i-2][j-2]+1)
				}
			}
		}
		return d[len(a)][len(b)]
	}
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		out := make([]byte, r.IntN(12))
		for i := range out {
			out[i] = "abc"[r.IntN(3)]
		}
		return string(out)
	}
	for range 20000 {
		a, b, enough := text(), text(), 1+r.IntN(4)
		if got, want := editDistance(a, b, enough), min(enough, whole(a, b)); got != want {
			t.Fatalf("editDistance(%q, %q, %d) is %d, want %d", a, b, enough, got, want)
		}
	}
}
