// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// Page selects a page of a list.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Entries of a page"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"The next_cursor of the page before; nothing else"`
}

// cursorSumBytes is the length of a checksum that detects damaged cursors and cursors of
// another list. It protects nothing: a cursor only selects a position in a list that the
// caller may read.
const cursorSumBytes = 8

// encodeCursor makes the cursor of a position in one list. The list's name includes its
// filters.
func encodeCursor(list string, position any) *string {
	text, err := json.Marshal(position)
	if err != nil {
		panic(err) // positions are plain structs
	}
	cursor := base64.RawURLEncoding.EncodeToString(append(cursorSum(list, text), text...))
	return &cursor
}

// decodeCursor parses a cursor of the same list.
func decodeCursor(list, cursor string, position any) error {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < cursorSumBytes || !bytes.Equal(raw[:cursorSumBytes], cursorSum(list, raw[cursorSumBytes:])) ||
		json.Unmarshal(raw[cursorSumBytes:], position) != nil { // the checksum is no signature
		return newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query.cursor",
			"is no next_cursor of this list with these filters; begin again without it")
	}
	return nil
}

func cursorSum(list string, text []byte) []byte {
	sum := sha256.Sum256(append([]byte(list+"\x00"), text...))
	return sum[:cursorSumBytes]
}
