// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/hack/sources"
)

// What is counted.
const (
	linesOfFile     = "file"
	linesOfFunction = "function"
	fieldsOfStruct  = "fields"
	methodsOfType   = "methods"
)

// limits are the most that each may have without an exception.
func limits() map[string]int {
	return map[string]int{linesOfFile: 400, linesOfFunction: 60, fieldsOfStruct: 12, methodsOfType: 20}
}

// thing is what a size is of: a file by its path, all else by its folder and name.
type thing struct {
	kind, name string
}

// oversized are the things that are larger than the limits, and how large.
func oversized(files []*sources.File) map[thing]int {
	sizes := map[thing]int{}
	for _, file := range files {
		if file.IsGenerated() {
			continue
		}
		sizes[thing{linesOfFile, file.Path}] = file.Lines
		measureStructs(file, sizes)
		if !file.IsTest() {
			measureFunctions(file, sizes)
		}
	}
	maps.DeleteFunc(sizes, func(t thing, size int) bool { return size <= limits()[t.kind] })
	return sizes
}

// inFolder names what a file declares by its folder, which stands for the package.
func inFolder(file *sources.File, name string) string {
	if folder := path.Dir(file.Path); folder != "." {
		return folder + "." + name
	}
	return name
}

func measureFunctions(file *sources.File, sizes map[thing]int) {
	for _, function := range file.Functions() {
		name := function.Name.Name
		if receiver := receiverOf(function); receiver != "" {
			sizes[thing{methodsOfType, inFolder(file, receiver)}]++
			name = receiver + "." + name
		}
		of := thing{linesOfFunction, inFolder(file, name)}
		sizes[of] = max(sizes[of], file.Span(function)) // init may be there twice
	}
}

// receiverOf is the name of a method's type; "" of a function.
func receiverOf(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	kind := function.Recv.List[0].Type
	for {
		switch of := kind.(type) {
		case *ast.StarExpr:
			kind = of.X
		case *ast.IndexExpr:
			kind = of.X
		case *ast.IndexListExpr:
			kind = of.X
		case *ast.Ident:
			return of.Name
		default:
			return ""
		}
	}
}

func measureStructs(file *sources.File, sizes map[thing]int) {
	if strings.HasPrefix(file.Path, "api/") {
		return
	}
	ast.Inspect(file.Syntax, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || strings.HasSuffix(strings.ToLower(spec.Name.Name), "options") {
			return true
		}
		if fields, ok := spec.Type.(*ast.StructType); ok {
			of := thing{fieldsOfStruct, inFolder(file, spec.Name.Name)}
			sizes[of] = max(sizes[of], countFields(fields)) // functions and tests may have one of the same name
		}
		return true
	})
}

func countFields(fields *ast.StructType) (count int) {
	for _, field := range fields.Fields.List {
		count += max(1, len(field.Names)) // an embedded one has no name
	}
	return count
}

// sorted are the things in the order in which a person reads them.
func sorted[V any](things map[thing]V) []thing {
	return slices.SortedFunc(maps.Keys(things), func(a, b thing) int {
		return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name)
	})
}
