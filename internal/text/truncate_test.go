// SPDX-License-Identifier: Apache-2.0

package text_test

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/text"
)

func TestTruncate(t *testing.T) {
	for name, tt := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"a text that fits is unchanged":             {"order", 5, "order"},
		"a longer text loses its end":               {"orders", 5, "order"},
		"a character that fits is kept":             {"5 €", 5, "5 €"},
		"a character that does not fit is left out": {"5 €", 4, "5 "},
		"bytes that are no character are cut":       {"\xbf\xbf\xbf", 2, ""},
		"nothing is left of nothing":                {"", 0, ""},
		"a limit of 0 leaves nothing":               {"€", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text.Truncate(tt.text, tt.limit); got != tt.want {
				t.Errorf("Truncate(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
}

func TestAbbreviate(t *testing.T) {
	for name, tt := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"a text that fits is unchanged":     {"order", 5, "order"},
		"a longer text ends in an ellipsis": {"orders", 5, "order…"},
		"no character is cut in the middle": {"5 €", 4, "5 …"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text.Abbreviate(tt.text, tt.limit); got != tt.want {
				t.Errorf("Abbreviate(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
}
