// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// How much of the input an error shows, in bytes.
const (
	maxFieldBytes   = 48
	maxNameBytes    = 24
	maxExcerptBytes = 16
)

// fieldPath writes the place that pointer means in the style of JavaScript, below
// root. dec must stand where pointer was made: it knows which of the pointer's
// tokens are array indexes. Names in the middle are left out when there are too
// many of them.
func fieldPath(dec *jsontext.Decoder, pointer jsontext.Pointer, root string) string {
	var segments []string
	for token := range pointer.Tokens() {
		isIndex := false
		if level := len(segments) + 1; level <= dec.StackDepth() {
			kind, _ := dec.StackIndex(level)
			isIndex = kind == jsontext.KindBeginArray
		}
		segments = append(segments, pathSegment(token, isIndex))
	}
	first, room := len(segments), maxFieldBytes
	for first > 0 && (first == len(segments) || len(segments[first-1]) <= room) {
		first--
		room -= len(segments[first])
	}
	if first > 0 {
		root += "…"
	}
	return strings.TrimPrefix(root+strings.Join(segments[first:], ""), ".")
}

func pathSegment(token string, isIndex bool) string {
	if isIndex {
		return "[" + token + "]"
	}
	if isPathIdentifier(token) && len(token) <= maxNameBytes {
		return "." + token
	}
	return "[" + quoteExcerpt(token, maxNameBytes) + "]"
}

func isPathIdentifier(name string) bool {
	for i, c := range []byte(name) {
		if !isAlphanumeric(c) && c != '_' && c != '$' || i == 0 && isDigit(c) {
			return false
		}
	}
	return name != ""
}

// fieldPathAt returns the place of the value or key that the byte at offset of src
// belongs to, as well as it can be told: src need not be JSON to its end.
func fieldPathAt(src []byte, offset int, root string) string {
	dec := jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	for dec.InputOffset() <= int64(offset) {
		if _, err := dec.ReadToken(); err != nil {
			break
		}
	}
	return fieldPath(dec, dec.StackPointer(), root)
}
