// SPDX-License-Identifier: Apache-2.0

package text

import "unicode/utf8"

// Truncate returns the beginning of a text, at most limit bytes, and never ends within
// a character.
func Truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Abbreviate is Truncate with an ellipsis after limit bytes where it cut.
func Abbreviate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return Truncate(text, limit) + "…"
}
