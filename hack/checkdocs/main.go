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
	complaints, err := run(".")
	if err == nil && len(complaints) > 0 {
		err = fmt.Errorf("\n  %s", strings.Join(complaints, "\n  "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkdocs:", err)
		os.Exit(1)
	}
}

// run returns what is wrong, one line each.
func run(root string) (complaints []string, err error) {
	names, err := sources.Tracked(root, "*.md")
	if err != nil {
		return nil, err
	}
	tree := &tree{root: root, headings: map[string]map[string]bool{}}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		if isGenerated(string(text)) {
			continue
		}
		lines := readable(string(text))
		complaints = append(complaints, checkLengths(name, lines)...)
		complaints = append(complaints, tree.checkReferences(name, lines)...)
	}
	return complaints, nil
}
