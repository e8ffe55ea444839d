// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// Fields that an Error can speak of.
const (
	FieldSchema  = "schema"
	FieldExample = "example"
	FieldData    = "data"
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

// Schema is a compiled JSON Schema for the member "data" of an event. The zero
// Schema accepts every object. It is safe for concurrent use.
type Schema struct {
	checkers *checkers
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
	document, err := decode([]byte(text))
	switch {
	case errors.Is(err, errTooDeep), errors.Is(err, errNumber):
		return refuse("has " + err.Error() + "; put what is nested under $defs, and numbers in their shortest form")
	case err != nil:
		return refuse(fmt.Sprintf("not JSON: %v", err))
	}
	compiled, err := newCheckers(document)
	if err != nil {
		return refuse(refusal(err))
	}
	if compiled.turnInCircles() {
		return refuse("refers to itself before it comes to a member of the data, so that no event could satisfy it; see $ref and $dynamicRef")
	}
	return Schema{checkers: compiled}, nil
}

// turnInCircles reports whether a check ends in the references of the schema,
// whatever the data: the library finds that out at a check only.
func (all *checkers) turnInCircles() bool {
	err := all.check(context.Background(), map[string]any{}, stepsFor(0))
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return false
	}
	_, circle := firstCause(invalid).ErrorKind.(*kind.RefCycle)
	return circle
}

// Validate checks data as package payload has built it, which bounds its size,
// depth and numbers. The error is an *Error that names the member at fault, or
// that of ctx. What a check costs is bounded by the size of the data, whatever the
// schema says.
func (s Schema) Validate(ctx context.Context, data []byte) error {
	if s.checkers == nil {
		return nil
	}
	value, err := decode(data)
	if err != nil {
		return &Error{Field: FieldData, Detail: fmt.Sprintf("not JSON: %v", err)}
	}
	err = s.checkers.check(ctx, value, stepsFor(len(data)))
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return describe(invalid)
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

// describe turns the first cause of a validation error into an Error.
func describe(err *jsonschema.ValidationError) *Error {
	err = firstCause(err)
	field := strings.Join(append([]string{FieldData}, err.InstanceLocation...), ".")
	return &Error{Field: text.Abbreviate(field, maxFieldBytes), Detail: "does not satisfy the schema: " + clean(err)}
}
