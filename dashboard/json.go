// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"encoding/json"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

const (
	// maxShownJSON bounds indented JSON: with many levels it is mostly white space.
	maxShownJSON = 64 << 10
	// maxShownCatalogue bounds all schemas and examples on the page of the catalogue.
	maxShownCatalogue = 1 << 20
)

// indentJSON indents JSON, unless it has more levels than any payload or would become too
// long; such JSON, and invalid JSON, stays as it is.
func indentJSON(text []byte) string {
	if string(text) == "null" {
		return ""
	}
	var out bytes.Buffer
	if levels, length := measureJSON(text); levels > payload.MaxDepth || length > maxShownJSON || json.Indent(&out, text, "", indent) != nil {
		return string(text)
	}
	return out.String()
}

// indent is that of one level.
const indent = "  "

// measureJSON returns how many levels JSON has, and about how long it becomes when
// indented.
func measureJSON(text []byte) (levels, length int) {
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

// jsonPart is the part of a JSON text that a page shows.
type jsonPart struct {
	Text string
	Left int // bytes that are not shown
}

// limitJSON returns the part of a JSON text that fits into room, and reduces room by it.
func limitJSON(text []byte, room *int) jsonPart {
	if string(text) == "null" {
		return jsonPart{}
	}
	if whole := indentJSON(text); len(whole) <= min(*room, maxShownJSON) {
		*room -= len(whole)
		return jsonPart{Text: whole}
	}
	begin, left := truncateText(strings.ToValidUTF8(string(text), "\ufffd"), min(*room, maxShownPayload))
	*room -= len(begin)
	return jsonPart{Text: begin, Left: left}
}

// jsonError says in which line a text stops being valid JSON.
func jsonError(text string) string {
	var value json.RawMessage
	err := json.Unmarshal([]byte(text), &value)
	var at int64
	if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // as package json returns it
		at = syntax.Offset
	}
	line := 1 + strings.Count(text[:min(int(at), len(text))], "\n")
	return "The data must be one JSON object. In line " + formatCount(line) + ": " + err.Error() + "."
}
