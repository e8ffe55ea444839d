// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"encoding/json"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

const (
	// shownJSON is how long JSON may become in readable lines: with many levels it
	// is mostly white space.
	shownJSON = 64 << 10
	// shownCatalogue is how much of all schemas and examples the catalogue shows.
	shownCatalogue = 1 << 20
)

// readable puts JSON into indented lines, unless it has more levels than any
// payload, or would be too long; that, and what is no JSON, stays as it is.
func readable(text []byte) string {
	if string(text) == "null" {
		return ""
	}
	var out bytes.Buffer
	if levels, length := measure(text); levels > payload.MaxDepth || length > shownJSON || json.Indent(&out, text, "", indent) != nil {
		return string(text)
	}
	return out.String()
}

// indent is that of one level.
const indent = "  "

// measure is how many levels JSON has, and how long it becomes in indented lines,
// or a little less.
func measure(text []byte) (levels, length int) {
	open, quoted := 0, false
	line := func() { length += 1 + len(indent)*max(open, 0) }
	for i := 0; i < len(text); i++ {
		length++
		switch c := text[i]; {
		case quoted && c == '\\':
			length++
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			open++
			levels = max(levels, open)
			line()
		case c == ',':
			line()
		case c == '}' || c == ']':
			open--
			line()
		}
	}
	return levels, length
}

// jsonPart is as much of JSON as a page shows.
type jsonPart struct {
	Text string
	Left int // bytes that are not shown
}

// portion is as much of JSON as is shown where room is left for so many bytes.
func portion(text []byte, room *int) jsonPart {
	if string(text) == "null" {
		return jsonPart{}
	}
	if whole := readable(text); len(whole) <= min(*room, shownJSON) {
		*room -= len(whole)
		return jsonPart{Text: whole}
	}
	begin, left := cut(strings.ToValidUTF8(string(text), "\ufffd"), min(*room, shownBody))
	*room -= len(begin)
	return jsonPart{Text: begin, Left: left}
}
