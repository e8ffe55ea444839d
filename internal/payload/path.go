// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// How much of the input an error shows, in bytes.
const (
	maxFieldBytes   = 48
	maxNameBytes    = 24
	maxExcerptBytes = 16
)

// fieldOf writes the place that pointer means in the style of JavaScript, below
// root. dec must stand where pointer was made: it knows which of the pointer's
// tokens are array indexes. Names in the middle are left out when there are too
// many of them.
func fieldOf(dec *jsontext.Decoder, pointer jsontext.Pointer, root string) string {
	var segments []string
	for token := range pointer.Tokens() {
		isIndex := false
		if level := len(segments) + 1; level <= dec.StackDepth() {
			kind, _ := dec.StackIndex(level)
			isIndex = kind == jsontext.KindBeginArray
		}
		segments = append(segments, segment(token, isIndex))
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

func segment(token string, isIndex bool) string {
	if isIndex {
		return "[" + token + "]"
	}
	if isIdentifier(token) && len(token) <= maxNameBytes {
		return "." + token
	}
	return "[" + quoteCut(token, maxNameBytes) + "]"
}

func isIdentifier(name string) bool {
	for i, c := range []byte(name) {
		if !isAlphanumeric(c) && c != '_' && c != '$' || i == 0 && isDigit(c) {
			return false
		}
	}
	return name != ""
}

// quoteCut quotes s, so that it prints on one line, and cuts it to n bytes or a
// little less, never within a character.
func quoteCut(s string, n int) string {
	if len(s) <= n {
		return strconv.Quote(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strconv.Quote(s[:n]) + "…"
}

// excerpt shows the beginning of raw.
func excerpt(raw []byte) string {
	// A cut further on than any character is long makes no difference.
	return quoteCut(string(raw[:min(len(raw), maxExcerptBytes+utf8.UTFMax)]), maxExcerptBytes)
}

// fieldAt returns the place of the value or key that the byte at offset of src
// belongs to, as well as it can be told: src need not be JSON to its end.
func fieldAt(src []byte, offset int, root string) string {
	dec := jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	for dec.InputOffset() <= int64(offset) {
		if _, err := dec.ReadToken(); err != nil {
			break
		}
	}
	return fieldOf(dec, dec.StackPointer(), root)
}

func invalidUTF8(src []byte, root string) *Error {
	offset := 0
	for offset < len(src) {
		r, size := utf8.DecodeRune(src[offset:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		offset += size
	}
	detail := fmt.Sprintf("the byte 0x%02x at offset %d is not UTF-8; encode text as UTF-8 and bytes as base64", src[offset], offset)
	return &Error{Field: fieldAt(src, offset, root), Reason: InvalidUTF8, Detail: detail}
}

// syntaxError explains an error of dec, which read the JSON text below root.
func syntaxError(dec *jsontext.Decoder, root string, err error) error {
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return &Error{Field: root, Reason: InvalidJSON, Detail: "not JSON: it ends too early"}
	}
	field := fieldOf(dec, syntactic.JSONPointer, root)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &Error{Field: field, Reason: DuplicateKey, Detail: "the key stands twice in one object and JavaScript keeps only the last; send it once"}
	}
	if strings.Count(string(syntactic.JSONPointer), "/") > MaxDepth { // decoders follow to some depth, too
		return tooDeep(field)
	}
	what := syntactic.Err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "it ends too early"
	}
	return &Error{Field: field, Reason: InvalidJSON, Detail: fmt.Sprintf("not JSON at offset %d: %s", syntactic.ByteOffset, what)}
}

func tooDeep(field string) error {
	detail := fmt.Sprintf("more than %d levels of objects and arrays, the payload itself and data counted; flatten it", MaxDepth)
	return &Error{Field: field, Reason: TooDeep, Detail: detail}
}

// expectEnd reads what must be the end of the text.
func expectEnd(dec *jsontext.Decoder, root string) error {
	offset := dec.InputOffset()
	if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
		return nil
	}
	return &Error{Field: root, Reason: TrailingData, Detail: fmt.Sprintf("something follows the JSON object after offset %d; send one object", offset)}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "an object"
	}
}
