// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

const (
	// MaxSchemaBytes bounds the text of a schema: 64 Ki characters, the most that an
	// EventType holds.
	MaxSchemaBytes = 256 << 10
	// maxDetailBytes and maxFieldBytes bound what an Error says, maxWordBytes what
	// it repeats of the input.
	maxDetailBytes = 1024
	maxFieldBytes  = 256
	maxWordBytes   = 96
)

// Schema is a compiled JSON Schema for the member "data" of an event. The zero
// Schema accepts every object. It is safe for concurrent use.
type Schema struct {
	checkers *schemaCheckers
}

// Compile parses a JSON Schema given as JSON text; "" gives the zero Schema.
// The error is an *Error of FieldSchema.
func Compile(text string) (Schema, error) {
	if text == "" {
		return Schema{}, nil
	}
	refuse := func(detail string) (Schema, error) {
		return Schema{}, &Error{Field: FieldSchema, Detail: detail}
	}
	if len(text) > MaxSchemaBytes {
		return refuse(fmt.Sprintf("more than %d bytes", MaxSchemaBytes))
	}
	document, err := decodeDocument([]byte(text))
	switch {
	case errors.Is(err, errTooDeep), errors.Is(err, errNumber):
		return refuse("has " + err.Error() + "; put what is nested under $defs, and numbers in their shortest form")
	case err != nil:
		return refuse(fmt.Sprintf("not JSON: %v", err))
	}
	compiled, err := newSchemaCheckers(document)
	if err != nil {
		return refuse(schemaRefusal(err))
	}
	if compiled.isCircular() {
		return refuse("refers to itself before it comes to a member of the data, so that no event could satisfy it; see $ref and $dynamicRef")
	}
	return Schema{checkers: compiled}, nil
}

// Validate checks data as package payload has built it, which bounds its size,
// depth and numbers. The error is an *Error that names the member at fault, or
// that of ctx. What a check costs is bounded by the size of the data, whatever the
// schema says.
func (s Schema) Validate(ctx context.Context, data []byte) error {
	if s.checkers == nil {
		return nil
	}
	value, err := decodeDocument(data)
	if err != nil {
		return &Error{Field: FieldData, Detail: fmt.Sprintf("not JSON: %v", err)}
	}
	err = s.checkers.check(ctx, value, stepsFor(len(data)))
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return describeInvalid(invalid)
	}
	if errors.Is(err, errManyFaults) || errors.Is(err, errTooCostly) {
		return &Error{Field: FieldData, Detail: err.Error(), TooCostly: errors.Is(err, errTooCostly)}
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
	body, err := payload.Build("example", time.Unix(0, 0), []byte(example))
	if err != nil {
		return &Error{Field: FieldExample, Detail: err.Error()}
	}
	if err := compiled.Validate(context.Background(), payload.DataOf(body)); err != nil {
		return &Error{Field: FieldExample, Detail: err.Error()}
	}
	return nil
}
