// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"encoding/json"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// beginSteps is what it costs to begin with a value and a schema, and to say that
	// they do not fit.
	beginSteps = 4
	// smallPerStep is how many of what is looked up or compared quickly, names and
	// strings, make a step.
	smallPerStep = 8
	// bytesPerStep is how much of a string is looked at in a step.
	bytesPerStep = 128
	// plainNumberSteps and longNumberSteps are what a number costs that is
	// compared: the library writes exponents out.
	plainNumberSteps = 4
	longNumberSteps  = 64
	// chainPerStep is how many schemas that apply to one value are looked through,
	// for cycles, in a step.
	chainPerStep = 64
)

// schemaCost is what it costs to hold a value against one schema, without what is
// then held against the schemas in it: these have costs of their own, but for
// how they begin, which is counted here, because the library does not ask us when
// a value fails at once.
type schemaCost struct {
	fixed   int // whatever the value is
	member  int // for each member of an object
	item    int // for each item of an array
	numbers int // for a number, if it is plain
}

// costOfSchema is the cost of a schema. chain is how many schemas there are that have
// others apply to the same value.
func costOfSchema(s *jsonschema.Schema, chain int) schemaCost {
	w := schemaCost{fixed: 1 + chain/chainPerStep, member: 1 + 2*len(s.PatternProperties), item: 1}
	for _, sub := range sameValueSchemas(s) {
		w.fixed += initialCost(sub)
	}
	if s.DynamicRef != nil || s.RecursiveRef != nil {
		w.fixed += 16 + chain/smallPerStep
	}
	w.fixed += smallComparisonCost(len(s.Required) + len(s.DependentRequired) + len(s.DependentSchemas) + len(s.Dependencies) + len(s.PrefixItems))
	for _, names := range s.DependentRequired {
		w.fixed += smallComparisonCost(len(names))
	}
	for _, sub := range s.PrefixItems {
		w.fixed += initialCost(sub)
	}
	heaviest := 0
	for _, sub := range s.Properties {
		heaviest = max(heaviest, initialCost(sub))
	}
	w.member += heaviest
	for _, sub := range s.PatternProperties {
		w.member += initialCost(sub)
	}
	w.member += initialCostOfMember(s.AdditionalProperties) + initialCost(s.PropertyNames) + initialCost(s.UnevaluatedProperties)
	w.item += initialCostOfMember(s.Items) + initialCostOfMember(s.AdditionalItems) + initialCost(s.Items2020) + initialCost(s.Contains) + initialCost(s.UnevaluatedItems)
	for _, given := range []bool{
		s.Minimum != nil, s.Maximum != nil, s.ExclusiveMinimum != nil, s.ExclusiveMaximum != nil, s.MultipleOf != nil,
		s.Types != nil && !s.Types.IsEmpty(),
	} {
		if given {
			w.numbers++
		}
	}
	return w
}

// sameValueSchemas are the schemas in a schema that apply to the same value.
func sameValueSchemas(s *jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	for _, several := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, {s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}} {
		for _, sub := range several {
			if sub != nil {
				all = append(all, sub)
			}
		}
	}
	if s.DynamicRef != nil {
		all = append(all, s.DynamicRef.Ref)
	}
	for _, sub := range s.DependentSchemas {
		all = append(all, sub)
	}
	for _, dependency := range s.Dependencies {
		if sub, ok := dependency.(*jsonschema.Schema); ok {
			all = append(all, sub)
		}
	}
	return all
}

// initialCost is what a schema costs before it asks us: type, const and enum.
func initialCost(s *jsonschema.Schema) int {
	if s == nil {
		return 0
	}
	steps := beginSteps
	if s.Const != nil {
		steps += comparisonCost(*s.Const)
	}
	if s.Enum != nil {
		steps += comparisonCost(s.Enum.Values)
	}
	return steps
}

// initialCostOfMember is initialCost of a member of a schema that may be something else.
func initialCostOfMember(value any) int {
	switch value := value.(type) {
	case *jsonschema.Schema:
		return initialCost(value)
	case []*jsonschema.Schema:
		heaviest := 0
		for _, sub := range value {
			heaviest = max(heaviest, initialCost(sub))
		}
		return heaviest
	default:
		return 0
	}
}

// comparisonCost is what it costs to compare something with a value of a schema.
func comparisonCost(value any) int {
	numbers, others := countComparisons(value)
	return numbers + smallComparisonCost(others)
}

// countComparisons is how much there is to compare: steps for numbers, and how many other
// values.
func countComparisons(value any) (numbers, others int) {
	switch value := value.(type) {
	case json.Number:
		return numberCost(value), 0
	case []any:
		for _, item := range value {
			n, o := countComparisons(item)
			numbers, others = numbers+n, others+o
		}
	case map[string]any:
		for _, member := range value {
			n, o := countComparisons(member)
			numbers, others = numbers+n, others+o+1
		}
	}
	return numbers, others + 1
}

// smallComparisonCost is how many steps so many quick comparisons make.
func smallComparisonCost(n int) int { return (n + smallPerStep - 1) / smallPerStep }

// numberCost is what it costs to compare a number.
func numberCost(n json.Number) int {
	if strings.ContainsAny(string(n), "eE") || len(n) > 32 {
		return longNumberSteps
	}
	return plainNumberSteps
}

// forValue is the cost of a schema for one value.
func (w schemaCost) forValue(value any) int {
	switch value := value.(type) {
	case map[string]any:
		return w.fixed + len(value)*w.member
	case []any:
		return w.fixed + len(value)*w.item
	case string:
		return w.fixed + len(value)/bytesPerStep
	case json.Number:
		return w.fixed + w.numbers*numberCost(value)
	default:
		return w.fixed
	}
}
