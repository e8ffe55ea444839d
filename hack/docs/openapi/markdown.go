// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// writeMarkdown prints a document for people: every operation, then every body.
func writeMarkdown(w io.Writer, document *huma.OpenAPI) {
	fmt.Fprint(w, "<!-- Generated from source by make generate. Do not edit. -->\n\n# REST API\n\n")
	fmt.Fprint(w, "The guide is [rest.md](../rest.md); for programs there is [openapi.json](openapi.json), which the gateway serves as `/openapi.json`.\n"+
		"Every answer may get more members; pass over those that you do not know. Every error is a [Problem](#problem).\n")
	var operations []*huma.Operation
	for _, path := range document.Paths {
		for _, operation := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if operation != nil {
				operations = append(operations, operation)
			}
		}
	}
	slices.SortFunc(operations, func(a, b *huma.Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(operationRank(a.Method), operationRank(b.Method)))
	})
	for _, operation := range operations {
		writeMarkdownOperation(w, operation)
	}
	schemas := document.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		writeMarkdownSchema(w, name, schemas[name])
	}
}

func operationRank(method string) int {
	return slices.Index([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method)
}

func writeMarkdownOperation(w io.Writer, operation *huma.Operation) {
	fmt.Fprintf(w, "\n## %s `%s`\n\n%s.", operation.Method, operation.Path, operation.Summary)
	if operation.Description != "" {
		fmt.Fprintf(w, " %s", operation.Description)
	}
	fmt.Fprint(w, "\n")
	if len(operation.Parameters) > 0 {
		fmt.Fprint(w, "\n| parameter | in | type | meaning |\n| --- | --- | --- | --- |\n")
		for _, p := range operation.Parameters {
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", p.Name, p.In, markdownType(p.Schema), markdownCell(p.Description+markdownLimits(p.Schema)))
		}
	}
	if operation.RequestBody != nil {
		fmt.Fprint(w, "\n")
		for _, contentType := range slices.Sorted(maps.Keys(operation.RequestBody.Content)) {
			fmt.Fprintf(w, "Body: %s (`%s`). ", markdownType(operation.RequestBody.Content[contentType].Schema), contentType)
		}
		fmt.Fprint(w, "\n")
	}
	fmt.Fprint(w, "\n")
	for _, status := range slices.Sorted(maps.Keys(operation.Responses)) {
		if status == "default" {
			continue
		}
		answer := operation.Responses[status]
		fmt.Fprintf(w, "Answers %s", status)
		for _, contentType := range slices.Sorted(maps.Keys(answer.Content)) {
			fmt.Fprintf(w, " with %s", markdownType(answer.Content[contentType].Schema))
		}
		if names := slices.Sorted(maps.Keys(answer.Headers)); len(names) > 0 {
			fmt.Fprintf(w, "; headers `%s`", strings.Join(names, "`, `"))
		}
		fmt.Fprint(w, ".\n")
	}
}

func writeMarkdownSchema(w io.Writer, name string, schema *huma.Schema) {
	if schema.Type != huma.TypeObject {
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n| member | type | meaning |\n| --- | --- | --- |\n", name)
	for _, member := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[member]
		optional := ""
		if !slices.Contains(schema.Required, member) {
			optional = ", optional"
		}
		fmt.Fprintf(w, "| `%s` | %s%s | %s |\n", member, markdownType(property), optional, markdownCell(property.Description+markdownLimits(property)))
	}
}

// markdownType names the type of a value, with a link to what is described below.
func markdownType(schema *huma.Schema) string {
	switch {
	case schema == nil:
		return "anything"
	case schema.Ref != "":
		name := schema.Ref[strings.LastIndex(schema.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case len(schema.AnyOf) > 0:
		var each []string
		for _, one := range schema.AnyOf {
			each = append(each, markdownType(one))
		}
		return strings.Join(each, " or ")
	case schema.Type == huma.TypeArray:
		return "list of " + markdownType(schema.Items)
	case schema.Type == "":
		return "anything"
	}
	name := schema.Type
	if schema.Format == "date-time" {
		name = "time"
	}
	if schema.Nullable {
		name += " or null"
	}
	return name
}

// markdownLimits says what a value is bound to.
func markdownLimits(schema *huma.Schema) string {
	var all []string
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, fmt.Sprintf("`%v`", value))
		}
		all = append(all, "one of "+strings.Join(values, ", "))
	}
	if schema.Default != nil {
		all = append(all, fmt.Sprintf("default %v", schema.Default))
	}
	for _, bound := range []struct {
		name  string
		value *int
	}{
		{"at least %d characters", schema.MinLength},
		{"at most %d characters", schema.MaxLength},
		{"at least %d entries", schema.MinItems},
		{"at most %d entries", schema.MaxItems},
	} {
		if bound.value != nil {
			all = append(all, fmt.Sprintf(bound.name, *bound.value))
		}
	}
	if schema.Minimum != nil && schema.Maximum != nil {
		all = append(all, fmt.Sprintf("from %v to %v", *schema.Minimum, *schema.Maximum))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}

func markdownCell(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "|", "\\|") }
