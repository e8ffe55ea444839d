// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// Page is what a list is asked for.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Entries of a page"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"The next_cursor of the page before; nothing else"`
}

// cursorSumBytes tells a cursor of another list or a damaged one from ours. It
// keeps nobody out: a cursor only says where to go on in what the caller may
// read anyway.
const cursorSumBytes = 8

// encodeCursor makes the cursor that goes on after a position, in one list. The
// list is named by what it lists, filters included.
func encodeCursor(list string, position any) *string {
	text, err := json.Marshal(position)
	if err != nil {
		panic(err) // positions are plain structs
	}
	cursor := base64.RawURLEncoding.EncodeToString(append(cursorSum(list, text), text...))
	return &cursor
}

// decodeCursor reads a cursor of the same list.
func decodeCursor(list, cursor string, position any) error {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < cursorSumBytes || !bytes.Equal(raw[:cursorSumBytes], cursorSum(list, raw[cursorSumBytes:])) ||
		json.Unmarshal(raw[cursorSumBytes:], position) != nil { // anybody can make the sum
		return newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query.cursor",
			"is no next_cursor of this list with these filters; begin again without it")
	}
	return nil
}

func cursorSum(list string, text []byte) []byte {
	sum := sha256.Sum256(append([]byte(list+"\x00"), text...))
	return sum[:cursorSumBytes]
}
