// SPDX-License-Identifier: Apache-2.0

package gateway

import "github.com/danielgtaylor/huma/v2"

// allowNullMember lets an object member be null, which huma cannot express for a struct.
func allowNullMember(schema *huma.Schema, member string) {
	object := schema.Properties[member]
	schema.Properties[member] = &huma.Schema{
		Description: object.Description,
		AnyOf:       []*huma.Schema{{Ref: object.Ref}, {Type: "null"}},
	}
}

// allowMoreMembers sets additionalProperties on the schemas of responses: clients must
// ignore members that they do not know. Schemas of requests stay closed.
func allowMoreMembers(document *huma.OpenAPI) {
	requestSchemas := map[*huma.Schema]bool{}
	var markSent func(*huma.Schema)
	markSent = func(schema *huma.Schema) {
		if schema.Ref != "" {
			schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
		}
		if requestSchemas[schema] {
			return
		}
		requestSchemas[schema] = true
		for _, member := range schema.Properties {
			markSent(member)
		}
	}
	for _, path := range document.Paths {
		for _, operation := range []*huma.Operation{path.Post, path.Put, path.Patch} {
			if operation == nil || operation.RequestBody == nil {
				continue
			}
			for _, content := range operation.RequestBody.Content {
				markSent(content.Schema)
			}
		}
	}
	for _, schema := range document.Components.Schemas.Map() {
		if !requestSchemas[schema] && schema.Type == huma.TypeObject {
			schema.AdditionalProperties = true
		}
	}
}
