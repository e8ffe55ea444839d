// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(file, []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const person = `{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"mail":{"type":"string","format":"email"}}}`
	for name, c := range map[string]struct {
		schema, example string
		field, detail   string // of the error; "": none
	}{
		"neither schema nor example is needed":           {},
		"an example alone must be an object":             {example: `[1]`, field: FieldExample, detail: "object"},
		"an example alone may be any object":             {example: `{"a":[1,null]}`},
		"an example that satisfies the schema":           {schema: person, example: `{"name":"Ada","mail":"ada@example.com"}`},
		"an example without a required member":           {schema: person, example: `{}`, field: FieldExample, detail: "name"},
		"an example with a member of another type":       {schema: person, example: `{"name":1}`, field: FieldExample, detail: "data.name"},
		"formats are asserted":                           {schema: person, example: `{"name":"Ada","mail":"nobody"}`, field: FieldExample, detail: "data.mail"},
		"an example that JavaScript would change":        {example: `{"n":9007199254740993}`, field: FieldExample, detail: "data.n"},
		"a schema that is not JSON":                      {schema: `{`, field: FieldSchema, detail: "not JSON"},
		"a schema that is not a schema":                  {schema: `{"type":"objekt"}`, field: FieldSchema, detail: "type"},
		"a schema that refers to a file":                 {schema: `{"$ref":"file://` + file + `"}`, field: FieldSchema, detail: "not allowed"},
		"a schema that refers to the network":            {schema: `{"$ref":"https://example.com/schema.json"}`, field: FieldSchema, detail: "not allowed"},
		"a schema that is itself":                        {schema: `{"$ref":"#"}`, field: FieldSchema, detail: "refers to itself"},
		"a schema that holds itself":                     {schema: `{"type":"object","allOf":[{"$ref":"#"}]}`, field: FieldSchema, detail: "refers to itself"},
		"a schema that is itself by a dynamic reference": {schema: `{"$dynamicAnchor":"x","$dynamicRef":"#x"}`, field: FieldSchema, detail: "refers to itself"},
		"a schema of a tree":                             {schema: `{"type":"object","additionalProperties":{"$ref":"#"}}`, example: `{"a":{"b":{}}}`},
		"a schema that refers to a definition of itself": {schema: `{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}`, example: `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(c.schema, c.example)
			if c.field == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			bad, ok := errors.AsType[*Error](err)
			if !ok || bad.Field != c.field || !strings.Contains(bad.Detail, c.detail) {
				t.Fatalf("got %v, want an error of %s that names %q", err, c.field, c.detail)
			}
			if strings.Contains(bad.Detail, schemaURL) {
				t.Errorf("the error shows the made-up URL: %s", bad.Detail)
			}
		})
	}
}
