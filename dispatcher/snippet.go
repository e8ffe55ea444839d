// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"bbmcp.quietstack.com/webhooks/internal/text"
)

// snippet makes the beginning of a body fit to be shown: without what we sent
// and must keep, in printable characters, on one line, at most MaxSnippetBytes.
func snippet(excerpt []byte, private *redactor) string {
	return text.Truncate(printableSnippet(private.redact(excerpt)), MaxSnippetBytes)
}

// printableSnippet replaces what is not printable, and runs of white space, by single
// spaces.
func printableSnippet(text []byte) string {
	var out strings.Builder
	out.Grow(len(text))
	gap := false
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) || r == ' ' {
			gap = out.Len() > 0
			continue
		}
		if gap {
			out.WriteByte(' ')
			gap = false
		}
		out.WriteRune(r)
	}
	return out.String()
}
