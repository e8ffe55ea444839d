// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
	"runtime"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

const (
	// schemaURL names the schema in itself, validURL what asks only whether a value
	// satisfies it; nothing is ever loaded from them.
	schemaURL = "urn:bbmcp:schema"
	validURL  = "urn:bbmcp:valid"
	// hooks is the vocabulary that shows us every schema that is compiled.
	hooks = "urn:bbmcp:hooks"
)

// schemaChecker is one compilation of a schema. It makes one check at a time: the
// library cannot tell its own checks apart, so each of them has a meter.
type schemaChecker struct {
	meter  stepMeter
	schema *jsonschema.Schema
	// invalid accepts what the schema refuses. Asked this way round, the library
	// keeps nothing of what is wrong.
	invalid *jsonschema.Schema
}

// schemaLoader loads nothing: the default loader would follow file:// references.
type schemaLoader struct{}

// Load implements jsonschema.URLLoader.
func (schemaLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed; put the definition under $defs")
}

// newSchemaChecker compiles a document.
func newSchemaChecker(document any) (*schemaChecker, error) {
	c := &schemaChecker{}
	var all []*jsonschema.Schema
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaLoader{})
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseRegexpEngine(c.meter.compilePattern)
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{URL: hooks, Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
		all = append(all, ctx.Enqueue(nil))
		return nil, nil
	}})
	compiler.AssertVocabs()
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	if err := compiler.AddResource(validURL, map[string]any{"not": map[string]any{"$ref": schemaURL}}); err != nil {
		return nil, err
	}
	var err error
	if c.schema, err = compiler.Compile(schemaURL); err != nil {
		return nil, err
	}
	if c.invalid, err = compiler.Compile(validURL); err != nil {
		return nil, err
	}
	chain := 0
	for _, s := range all {
		if len(sameValueSchemas(s)) > 0 {
			chain++
		}
	}
	for _, s := range all {
		c.hookSchema(s, costOfSchema(s, chain))
	}
	return c, nil
}

// hookSchema has a schema count the cost of a value before it looks at it. The format
// is what the library asks for first, and of every kind of value. What is equal
// among items is looked for here, too.
func (c *schemaChecker) hookSchema(s *jsonschema.Schema, w schemaCost) {
	format, unique := s.Format, s.UniqueItems
	s.UniqueItems = false
	hooked := &jsonschema.Format{Name: "uniqueItems"}
	if format != nil {
		hooked.Name = format.Name
	}
	hooked.Validate = func(value any) error {
		c.meter.spend(w.forValue(value))
		if items, ok := value.([]any); ok && unique {
			return c.meter.checkUniqueItems(items)
		}
		if format != nil {
			return format.Validate(value)
		}
		return nil
	}
	s.Format = hooked
}

// check holds a value against the schema, in so many steps. An error that is no
// *jsonschema.ValidationError says why the check was given up.
func (c *schemaChecker) check(ctx context.Context, value any, steps int) error {
	var valid bool
	if err := c.meter.run(ctx, steps, func() { valid = c.invalid.Validate(value) != nil }); err != nil || valid {
		return err
	}
	var found error
	if err := c.meter.run(ctx, min(steps, maxExplainSteps), func() { found = c.schema.Validate(value) }); errors.Is(err, errTooCostly) {
		return errManyFaults
	} else if err != nil {
		return err
	}
	return found
}

// errManyFaults says that a value does not satisfy the schema where it would cost
// too much to say why.
var errManyFaults = errors.New("does not satisfy the schema, in more places than can be told; check a smaller part of it first")

// schemaCheckers are the compilations of one schema: at most as many as checks can run
// at once, and one, so that a small one has not to wait for large ones.
type schemaCheckers struct {
	document any
	idle     chan *schemaChecker
	room     chan struct{} // holds a place for each checker that may still be made
}

// newSchemaCheckers compiles a document once; more are made when checks meet.
func newSchemaCheckers(document any) (*schemaCheckers, error) {
	c, err := newSchemaChecker(document)
	if err != nil {
		return nil, err
	}
	most := 1 + runtime.GOMAXPROCS(0)
	all := &schemaCheckers{document: document, idle: make(chan *schemaChecker, most), room: make(chan struct{}, most)}
	for range most - 1 {
		all.room <- struct{}{}
	}
	all.idle <- c
	return all, nil
}

// check makes one check, as soon as a checker is free.
func (all *schemaCheckers) check(ctx context.Context, value any, steps int) (err error) {
	c, err := all.take(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // it panicked: who knows what it looks like
			all.room <- struct{}{}
		}
	}()
	err = c.check(ctx, value, steps)
	returned = true
	all.idle <- c
	return err
}

func (all *schemaCheckers) take(ctx context.Context) (*schemaChecker, error) {
	select {
	case c := <-all.idle:
		return c, nil
	default:
	}
	select {
	case c := <-all.idle:
		return c, nil
	case <-all.room:
		return newSchemaChecker(all.document) // as it did before
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// isCircular reports whether a check ends in the references of the schema,
// whatever the data: the library finds that out at a check only.
func (all *schemaCheckers) isCircular() bool {
	err := all.check(context.Background(), map[string]any{}, stepsFor(0))
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return false
	}
	_, circle := firstCause(invalid).ErrorKind.(*kind.RefCycle)
	return circle
}
