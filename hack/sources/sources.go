// SPDX-License-Identifier: Apache-2.0

package sources

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// GoFile is one Go file of the module.
type GoFile struct {
	Path   string // from the root, with slashes
	Lines  int
	Set    *token.FileSet
	Syntax *ast.File
}

// IsTest reports whether only go test compiles the file.
func (f *GoFile) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// IsGenerated reports whether the file says that a program wrote it.
func (f *GoFile) IsGenerated() bool { return ast.IsGenerated(f.Syntax) }

// Functions are the functions and methods that the file declares, in order.
func (f *GoFile) Functions() (all []*ast.FuncDecl) {
	for _, declaration := range f.Syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			all = append(all, function)
		}
	}
	return all
}

// Span is how many lines a part of the file takes.
func (f *GoFile) Span(part ast.Node) int {
	return f.Set.Position(part.End()).Line - f.Set.Position(part.Pos()).Line + 1
}

// TrackedFiles lists the files under root that git knows and that exist, by a pattern such as *.md, in the order of their paths.
func TrackedFiles(root, pattern string) ([]string, error) {
	command := exec.Command("git", "ls-files", "-z", "--", pattern)
	command.Dir = root
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, err
	}
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	files = slices.DeleteFunc(files, func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name))
		return err != nil
	})
	slices.Sort(files)
	return files, nil
}

// GoFiles parses the Go files of the module at root, without those of modules inside it and those in testdata.
func GoFiles(root string) ([]*GoFile, error) {
	modules, err := TrackedFiles(root, "*/go.mod")
	if err != nil {
		return nil, err
	}
	paths, err := TrackedFiles(root, "*.go")
	if err != nil {
		return nil, err
	}
	var files []*GoFile
	for _, name := range paths {
		isOther := func(gomod string) bool { return strings.HasPrefix(name, path.Dir(gomod)+"/") }
		if slices.ContainsFunc(modules, isOther) || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		file, err := parseGoFile(root, name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func parseGoFile(root, name string) (*GoFile, error) {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &GoFile{Path: name, Lines: strings.Count(string(text), "\n"), Set: set, Syntax: syntax}, nil
}
