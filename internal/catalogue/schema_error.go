// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bbmcp.quietstack.com/webhooks/internal/text"
)

// Fields that an Error can speak of.
const (
	FieldSchema  = "schema"
	FieldExample = "example"
	FieldData    = "data"
)

// Error says which field is wrong and what about it.
type Error struct {
	Field  string // FieldSchema, FieldExample, or data and the path to the value
	Detail string
	// TooCostly says that the check was given up, so that nobody knows whether the
	// data satisfies the schema.
	TooCostly bool
}

// Error implements error.
func (e *Error) Error() string { return e.Field + ": " + e.Detail }

// describeInvalid turns the first cause of a validation error into an Error.
func describeInvalid(err *jsonschema.ValidationError) *Error {
	err = firstCause(err)
	field := strings.Join(append([]string{FieldData}, err.InstanceLocation...), ".")
	return &Error{Field: text.Abbreviate(field, maxFieldBytes), Detail: "does not satisfy the schema: " + cleanSchemaError(err)}
}

// schemaRefusal says why the library compiles no document.
func schemaRefusal(err error) string {
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if cause, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			return "not a JSON Schema: " + cleanSchemaError(firstCause(cause))
		}
	}
	return cleanSchemaError(err)
}

// firstCause is the innermost error that the library found first.
func firstCause(err *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(err.Causes) > 0 {
		err = err.Causes[0]
	}
	return err
}

// cleanSchemaError makes one line of an error of the library, without our made-up URLs, and
// with the beginning of what is long.
func cleanSchemaError(err error) string {
	message := strings.NewReplacer(schemaURL, "", validURL, "").Replace(err.Error())
	words := strings.Fields(message)
	for i, word := range words {
		words[i] = text.Abbreviate(word, maxWordBytes)
	}
	return text.Abbreviate(strings.Join(words, " "), maxDetailBytes)
}
