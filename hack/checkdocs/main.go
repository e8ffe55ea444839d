// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bbmcp.quietstack.com/webhooks/hack/sources"
)

func main() {
	complaints, err := checkDocs(".")
	if err == nil && len(complaints) > 0 {
		err = fmt.Errorf("\n  %s", strings.Join(complaints, "\n  "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkdocs:", err)
		os.Exit(1)
	}
}

// checkDocs returns what is wrong, one line each.
func checkDocs(root string) (complaints []string, err error) {
	names, err := sources.TrackedFiles(root, "*.md")
	if err != nil {
		return nil, err
	}
	tree := &referenceTree{root: root, headings: map[string]map[string]bool{}}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		if isGeneratedPage(string(text)) {
			continue
		}
		lines := readPageLines(string(text))
		complaints = append(complaints, checkLengths(name, lines)...)
		complaints = append(complaints, tree.checkReferences(name, lines)...)
	}
	return complaints, nil
}
