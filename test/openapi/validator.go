// SPDX-License-Identifier: Apache-2.0

package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// location names the document in itself; nothing is loaded from it.
const location = "urn:openapi"

// Validator knows one OpenAPI 3.1 document. It is safe for concurrent use once
// it is made.
type Validator struct {
	operations []operation
}

type operation struct {
	method  string
	path    *regexp.Regexp
	name    string                        // method and path template
	answers map[string]*jsonschema.Schema // by status and content type
}

// document is the part of an OpenAPI document that answers are about.
type document struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]json.RawMessage `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
}

// Load reads a document.
func Load(file string) (*Validator, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var said document
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource(location, raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	v := &Validator{}
	for path, methods := range said.Paths {
		for method, described := range methods {
			op := operation{method: strings.ToUpper(method), path: operationPathPattern(path), name: strings.ToUpper(method) + " " + path, answers: map[string]*jsonschema.Schema{}}
			for status, answer := range described.Responses {
				if len(answer.Content) == 0 {
					op.answers[responseSchemaKey(status, "")] = nil
				}
				for contentType := range answer.Content {
					at := strings.Join([]string{location + "#/paths", escapeSchemaPointer(path), method, "responses", status, "content", escapeSchemaPointer(contentType), "schema"}, "/")
					schema, err := compiler.Compile(at)
					if err != nil {
						return nil, fmt.Errorf("%s: %s: %w", file, op.name, err)
					}
					op.answers[responseSchemaKey(status, contentType)] = schema
				}
			}
			v.operations = append(v.operations, op)
		}
	}
	return v, nil
}

// Check returns an error unless the document promises this answer. What the
// document does not know at all, such as a probe, must be a 404.
func (v *Validator) Check(method, path string, status int, header http.Header, body []byte) error {
	op := v.find(method, path)
	if op == nil {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s %s is not in the OpenAPI document", method, path)
	}
	contentType := ""
	if len(body) > 0 {
		var err error
		if contentType, _, err = mime.ParseMediaType(header.Get("Content-Type")); err != nil {
			return fmt.Errorf("%s: %d: content type: %w", op.name, status, err)
		}
	}
	schema, ok := op.answers[responseSchemaKey(strconv.Itoa(status), contentType)]
	if !ok {
		schema, ok = op.answers[responseSchemaKey("default", contentType)]
	}
	if !ok {
		return fmt.Errorf("%s: the OpenAPI document promises no %d with %q", op.name, status, contentType)
	}
	if schema == nil {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %d: %w", op.name, status, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %d: %w", op.name, status, err)
	}
	return nil
}

func (v *Validator) find(method, path string) *operation {
	path, _, _ = strings.Cut(path, "?")
	for i := range v.operations {
		if v.operations[i].method == method && v.operations[i].path.MatchString(path) {
			return &v.operations[i]
		}
	}
	return nil
}

func responseSchemaKey(status, contentType string) string { return status + " " + contentType }

// operationPathPattern matches the paths of a template such as /v1/webhooks/{id}.
func operationPathPattern(template string) *regexp.Regexp {
	pattern := regexp.MustCompile(`\\\{[^/]*?\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
	return regexp.MustCompile("^" + pattern + "$")
}

// escapeSchemaPointer writes a name as a part of a JSON pointer in a URI fragment (RFC 6901,
// section 6).
func escapeSchemaPointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
}
