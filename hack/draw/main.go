// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"bbmcp.quietstack.com/webhooks/hack/sources"
)

const drawn = 40

func main() {
	seed := flag.Uint64("seed", 0, "what decides which functions are drawn")
	answers := flag.Bool("answers", false, "print the file of each function as well")
	flag.Parse()
	if err := drawFunctions(os.Stdout, ".", *seed, *answers); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func drawFunctions(w io.Writer, root string, seed uint64, answers bool) error {
	files, err := sources.GoFiles(root)
	if err != nil {
		return err
	}
	for i, f := range draw(drawCandidates(files), seed, drawn) {
		if answers {
			fmt.Fprintf(w, "%2d  %s: %s\n", i+1, f.file, f.signature)
			continue
		}
		fmt.Fprintf(w, "%2d  %s\n", i+1, f.signature)
	}
	return nil
}

type function struct {
	file, signature string
}

// drawCandidates are the functions that can be drawn, in the order of files and lines.
func drawCandidates(files []*sources.GoFile) (all []function) {
	for _, file := range files {
		if file.IsTest() || file.IsGenerated() {
			continue
		}
		for _, declaration := range file.Functions() {
			all = append(all, function{file: file.Path, signature: signatureOf(declaration)})
		}
	}
	return all
}

// signatureOf prints a function without comments and body, in one line: where it stands in the
// file is not told.
func signatureOf(declaration *ast.FuncDecl) string {
	head := &ast.FuncDecl{Recv: declaration.Recv, Name: declaration.Name, Type: declaration.Type}
	var text bytes.Buffer
	if err := printer.Fprint(&text, token.NewFileSet(), head); err != nil {
		return declaration.Name.Name // nothing that was parsed is refused
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// draw takes so many of the functions; fewer, if there are not so many.
func draw(all []function, seed uint64, count int) (taken []function) {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(all))
	for _, i := range order[:min(count, len(order))] {
		taken = append(taken, all[i])
	}
	return taken
}
