// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// maxExponent bounds the exponent of a number: more than any double has, and
// little enough that the schema library, which writes numbers out, does not
// notice.
const maxExponent = 400

var (
	errTrailing = errors.New("something follows the value")
	errTooDeep  = fmt.Errorf("more than %d levels of objects and arrays", payload.MaxDepth)
	errNumber   = fmt.Errorf("a number of more than %d characters, or with an exponent beyond ±%d", payload.MaxNumberBytes, maxExponent)
)

// decodeDocument reads one JSON value as the schema library wants it, numbers as they
// are spelled, within bounds of depth and of numbers. It takes a third of the
// time of package json.
func decodeDocument(data []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	value, err := decodeValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return value, nil
}

func decodeValue(dec *jsontext.Decoder) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if dec.StackDepth() > payload.MaxDepth {
		return nil, errTooDeep
	}
	switch token.Kind() {
	case jsontext.KindBeginObject:
		return decodeObject(dec)
	case jsontext.KindBeginArray:
		return decodeArray(dec)
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return decodeNumber(token.String())
	case jsontext.KindTrue:
		return true, nil
	case jsontext.KindFalse:
		return false, nil
	default:
		return nil, nil // the value null
	}
}

// decodeNumber keeps what is costly to write out from the schema library.
func decodeNumber(text string) (any, error) {
	if len(text) > payload.MaxNumberBytes {
		return nil, errNumber
	}
	if _, digits, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if exponent, err := strconv.Atoi(digits); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return nil, errNumber
		}
	}
	return json.Number(text), nil
}

func decodeObject(dec *jsontext.Decoder) (any, error) {
	object := map[string]any{}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		if object[name], err = decodeValue(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return object, err
}

func decodeArray(dec *jsontext.Decoder) (any, error) {
	array := []any{}
	for dec.PeekKind() != jsontext.KindEndArray {
		value, err := decodeValue(dec)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := dec.ReadToken()
	return array, err
}
