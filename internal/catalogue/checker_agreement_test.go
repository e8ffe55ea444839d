// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// agreeing are schemas and data of every keyword; to each schema go all data.
var agreeing = []string{
	`true`, `false`, `{}`, `{"type":"object"}`, `{"type":["integer","null"]}`, `{"properties":{"a":{"type":"integer"}}}`,
	`{"properties":{"a":{"const":1}}}`, `{"properties":{"a":{"enum":[1,"x",{"b":1.0}]}}}`, `{"required":["a"]}`,
	`{"minProperties":1,"maxProperties":1}`, `{"additionalProperties":false,"properties":{"a":true}}`, `{"additionalProperties":{"type":"string"}}`,
	`{"patternProperties":{"^a":{"type":"string"}},"additionalProperties":false}`, `{"propertyNames":{"pattern":"^[ab]$"}}`,
	`{"dependentRequired":{"a":["b"]}}`, `{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"properties":{"a":{"minimum":1,"maximum":2}}}`,
	`{"properties":{"a":{"exclusiveMinimum":1,"exclusiveMaximum":10}}}`, `{"properties":{"a":{"multipleOf":0.5}}}`,
	`{"properties":{"a":{"minLength":1,"maxLength":2,"pattern":"^x"}}}`, `{"properties":{"a":{"format":"email"}}}`, `{"properties":{"a":{"format":"regex"}}}`,
	`{"properties":{"a":{"format":"nothing known","uniqueItems":true}}}`, `{"properties":{"a":{"uniqueItems":true}}}`, `{"properties":{"a":{"minItems":1,"maxItems":2}}}`,
	`{"properties":{"a":{"prefixItems":[{"type":"integer"}],"items":{"type":"string"}}}}`, `{"properties":{"a":{"contains":{"const":1},"minContains":2,"maxContains":2}}}`,
	`{"properties":{"a":{"prefixItems":[true],"unevaluatedItems":false}}}`, `{"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}`,
	`{"allOf":[{"required":["a"]},{"required":["b"]}]}`, `{"anyOf":[{"required":["a"]},{"required":["b"]}]}`, `{"oneOf":[{"required":["a"]},{"required":["b"]}]}`,
	`{"not":{"required":["a"]}}`, `{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"minProperties":1}}`,
	`{"properties":{"a":{"$ref":"#/$defs/i"}},"$defs":{"i":{"type":"integer"}}}`, `{"properties":{"a":{"$ref":"#"}},"type":"object"}`,
	`{"$id":"https://example.com/a","$defs":{"x":{"$anchor":"x","type":"string"}},"properties":{"a":{"$ref":"#x"}}}`,
	`{"$id":"https://example.com/t","$dynamicAnchor":"n","properties":{"a":{"$dynamicRef":"#n"}},"unevaluatedProperties":false}`,
	`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"items":[{"type":"integer"}],"additionalItems":false}},"dependencies":{"a":["b"]}}`,
	`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"a":{"minimum":1,"exclusiveMinimum":true}}}`,
	`{"$schema":"https://json-schema.org/draft/2019-09/schema","properties":{"a":{"$recursiveRef":"#"}},"maxProperties":1}`,
}

var agreed = []string{
	`{}`, `{"a":1}`, `{"a":1.5,"b":1}`, `{"a":"x"}`, `{"a":"me@example.com","b":null}`, `{"a":[]}`, `{"a":[1,1]}`, `{"a":[1,"1",[1],{"a":1},{"a":1}]}`, `{"a":["x","y","x"]}`,
	`{"a":[[[1],2],[[1,2]],["a\u0004b"],["a","b"],1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]}`, `{"a":{"a":1}}`, `{"a":{"b":1}}`, `{"ab":1,"b":true}`, `{"a":{"a":{"a":5e-324}},"c":1e300}`,
	`{"a":[{"x":1,"y":2},{"y":2,"x":1}]}`, `{"a":true}`, `{"a":"("}`, `{"b":[]}`,
}

// What is asked of a check beside the schema changes no verdict.
func FuzzVerdict(f *testing.F) {
	for _, schema := range agreeing {
		for _, data := range agreed {
			f.Add(schema, data)
		}
	}
	f.Fuzz(func(t *testing.T, schema, data string) {
		ours, err := Compile(schema)
		if schema == "" || len(schema) > 1000 || len(data) > 1000 {
			return
		}
		theirs := compileAlone(schema)
		if (err == nil) != (theirs != nil) {
			if err != nil && (strings.Contains(err.Error(), "bytes") || strings.Contains(err.Error(), "instructions") || strings.Contains(err.Error(), "levels") || strings.Contains(err.Error(), "exponent")) {
				return // a bound of ours
			}
			t.Fatalf("%s: ours says %v, the library compiles it: %t", schema, err, theirs != nil)
		}
		body, refused := payload.Build("x", time.Unix(0, 0), []byte(data))
		if theirs == nil || refused != nil {
			return
		}
		value, err := decodeDocument(payload.DataOf(body))
		if err != nil {
			t.Fatal(err)
		}
		got := ours.Validate(t.Context(), payload.DataOf(body))
		if isTooCostly(got) {
			return
		}
		if want := theirs.Validate(value); (got == nil) != (want == nil) {
			t.Errorf("schema %s, data %s: got %v, want %v", schema, data, got, want)
		}
	})
}

// compileAlone is the library without any of ours; nil: it is no schema.
func compileAlone(schema string) *jsonschema.Schema {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return nil
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaLoader{})
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if compiler.AddResource(schemaURL, document) != nil {
		return nil
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil
	}
	return compiled
}
