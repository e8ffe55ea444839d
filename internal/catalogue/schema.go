// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// Fields that an Error can speak of.
const (
	FieldSchema  = "schema"
	FieldExample = "example"
	FieldData    = "data"
)

// schemaURL names the schema in itself; nothing is ever loaded from it.
const schemaURL = "urn:bbmcp:schema"

// Error says which field is wrong and what about it.
type Error struct {
	Field  string // FieldSchema, FieldExample, or data and the path to the value
	Detail string
}

// Error implements error.
func (e *Error) Error() string { return e.Field + ": " + e.Detail }

// Schema is a compiled JSON Schema for the member "data" of an event. The zero
// Schema accepts every object. It is safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
}

// denyAll loads nothing: the default loader would follow file:// references.
type denyAll struct{}

// Load implements jsonschema.URLLoader.
func (denyAll) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed; put the definition under $defs")
}

// Compile parses a JSON Schema given as JSON text; "" gives the zero Schema.
// The error is an *Error of FieldSchema.
func Compile(text string) (Schema, error) {
	if text == "" {
		return Schema{}, nil
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return Schema{}, &Error{Field: FieldSchema, Detail: fmt.Sprintf("not JSON: %v", err)}
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(denyAll{})
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return Schema{}, &Error{Field: FieldSchema, Detail: clean(err)}
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return Schema{}, &Error{Field: FieldSchema, Detail: clean(err)}
	}
	return Schema{compiled: compiled}, nil
}

// Validate checks data, given as JSON text. The error is an *Error that names
// the member at fault.
func (s Schema) Validate(data []byte) error {
	if s.compiled == nil {
		return nil
	}
	value, err := decode(data)
	if err != nil {
		return &Error{Field: FieldData, Detail: fmt.Sprintf("not JSON: %v", err)}
	}
	err = s.compiled.Validate(value)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return describe(invalid)
	}
	return err
}

// Check checks a schema and an example of the data, each given as JSON text and
// each optional.
func Check(schema, example string) error {
	compiled, err := Compile(schema)
	if err != nil || example == "" {
		return err
	}
	if _, err := payload.Build("example", time.Unix(0, 0), []byte(example)); err != nil {
		return &Error{Field: FieldExample, Detail: err.Error()}
	}
	if err := compiled.Validate([]byte(example)); err != nil {
		return &Error{Field: FieldExample, Detail: err.Error()}
	}
	return nil
}

// describe turns the first cause of a validation error into an Error.
func describe(err *jsonschema.ValidationError) *Error {
	for len(err.Causes) > 0 {
		err = err.Causes[0]
	}
	field := strings.Join(append([]string{FieldData}, err.InstanceLocation...), ".")
	return &Error{Field: field, Detail: "does not satisfy the schema: " + clean(err)}
}

// clean makes one line of an error of the library, without our made-up URL.
func clean(err error) string {
	text := strings.ReplaceAll(err.Error(), schemaURL, "")
	return strings.Join(strings.Fields(text), " ")
}
