// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is an entry of values.yaml with the comment above it.
type value struct{ path, comment, value string }

// readValues lists the entries in the order of the file. Below an entry with a
// comment entries without one belong to it; every other must have one.
func readValues(file string) ([]value, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all, err := collectValues(document.Content[0], "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

func collectValues(node *yaml.Node, prefix string) ([]value, error) {
	var all []value
	for i := 0; i < len(node.Content); i += 2 {
		key, child := node.Content[i], node.Content[i+1]
		path := prefix + key.Value
		if child.Kind == yaml.MappingNode && len(child.Content) > 0 && hasCommentedValues(child) {
			below, err := collectValues(child, path+".")
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
			continue
		}
		comment := valueComment(key)
		if comment == "" {
			return nil, fmt.Errorf("%s has no comment", path)
		}
		var decoded any
		if err := child.Decode(&decoded); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		text, err := json.Marshal(decoded)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, value{path: path, comment: comment, value: string(text)})
	}
	return all, nil
}

// hasCommentedValues says whether an entry of a mapping has a comment.
func hasCommentedValues(node *yaml.Node) bool {
	for i := 0; i < len(node.Content); i += 2 {
		if valueComment(node.Content[i]) != "" || node.Content[i+1].Kind == yaml.MappingNode && hasCommentedValues(node.Content[i+1]) {
			return true
		}
	}
	return false
}

func valueComment(key *yaml.Node) string {
	var lines []string
	for line := range strings.Lines(key.HeadComment) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}
