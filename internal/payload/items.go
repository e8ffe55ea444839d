// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Items takes the JSON array text apart, at most limit items of it. What an item
// holds is looked at no further than that it is JSON. Errors are *Error.
func Items(text []byte, whole string, limit int) ([][]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if err := beginValue(dec, jsontext.KindBeginArray, whole); err != nil {
		return nil, err
	}
	var items [][]byte
	for dec.PeekKind() != jsontext.KindEndArray {
		if len(items) == limit {
			return nil, &Error{Field: whole, Reason: TooLarge, Detail: fmt.Sprintf("more than %d items; send them in several requests", limit)}
		}
		item, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(dec, whole, err)
		}
		end := int(dec.InputOffset())
		items = append(items, text[end-len(item):end:end])
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(dec, whole, err)
	}
	return items, expectEnd(dec, whole)
}
