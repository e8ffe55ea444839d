// SPDX-License-Identifier: Apache-2.0

package text_test

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/text"
)

func TestCut(t *testing.T) {
	for name, tt := range map[string]struct {
		cut   func(text string, limit int) string
		text  string
		limit int
		want  string
	}{
		"a text that fits is unchanged":             {text.Truncate, "order", 5, "order"},
		"a longer text loses its end":               {text.Truncate, "orders", 5, "order"},
		"a character that fits is kept":             {text.Truncate, "5 €", 5, "5 €"},
		"a character that does not fit is left out": {text.Truncate, "5 €", 4, "5 "},
		"bytes that are no character are cut":       {text.Truncate, "\xbf\xbf\xbf", 2, ""},
		"nothing is left of nothing":                {text.Truncate, "", 0, ""},
		"a limit of 0 leaves nothing":               {text.Truncate, "€", 0, ""},

		"abbreviated, a text that fits is unchanged":     {text.Abbreviate, "order", 5, "order"},
		"abbreviated, a longer text ends in an ellipsis": {text.Abbreviate, "orders", 5, "order…"},
		"abbreviated, no character is cut in the middle": {text.Abbreviate, "5 €", 4, "5 …"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.cut(tt.text, tt.limit); got != tt.want {
				t.Errorf("%q with limit %d: got %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
}
