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

// sizeLimits are the most that each may have without an exception.
func sizeLimits() map[string]int {
	return map[string]int{linesOfFile: 400, linesOfFunction: 60, fieldsOfStruct: 12, methodsOfType: 20}
}

// measuredThing is what a size is of: a file by its path, all else by its folder and name.
type measuredThing struct {
	kind, name string
}

// measureOversized are the things that are larger than the limits, and how large.
func measureOversized(files []*sources.GoFile) map[measuredThing]int {
	sizes := map[measuredThing]int{}
	for _, file := range files {
		if file.IsGenerated() {
			continue
		}
		sizes[measuredThing{linesOfFile, file.Path}] = file.Lines
		measureStructs(file, sizes)
		if !file.IsTest() {
			measureFunctions(file, sizes)
		}
	}
	maps.DeleteFunc(sizes, func(t measuredThing, size int) bool { return size <= sizeLimits()[t.kind] })
	return sizes
}

// nameInFolder names what a file declares by its folder, which stands for the package.
func nameInFolder(file *sources.GoFile, name string) string {
	if folder := path.Dir(file.Path); folder != "." {
		return folder + "." + name
	}
	return name
}

func measureFunctions(file *sources.GoFile, sizes map[measuredThing]int) {
	for _, function := range file.Functions() {
		name := function.Name.Name
		if receiver := receiverOf(function); receiver != "" {
			sizes[measuredThing{methodsOfType, nameInFolder(file, receiver)}]++
			name = receiver + "." + name
		}
		of := measuredThing{linesOfFunction, nameInFolder(file, name)}
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

func measureStructs(file *sources.GoFile, sizes map[measuredThing]int) {
	if strings.HasPrefix(file.Path, "api/") {
		return
	}
	ast.Inspect(file.Syntax, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || strings.HasSuffix(strings.ToLower(spec.Name.Name), "options") {
			return true
		}
		if fields, ok := spec.Type.(*ast.StructType); ok {
			of := measuredThing{fieldsOfStruct, nameInFolder(file, spec.Name.Name)}
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

// sortedThings are the things in the order in which a person reads them.
func sortedThings[V any](things map[measuredThing]V) []measuredThing {
	return slices.SortedFunc(maps.Keys(things), func(a, b measuredThing) int {
		return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name)
	})
}
