// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// pageLine is one that is no code.
type pageLine struct {
	number int // from 1
	text   string
}

// readPageLines are the lines of a page outside of its code blocks.
func readPageLines(text string) (lines []pageLine) {
	fence := ""
	for i, each := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(each)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
		default:
			lines = append(lines, pageLine{number: i + 1, text: each})
		}
	}
	return lines
}

func isGeneratedPage(text string) bool { return strings.HasPrefix(text, "<!-- Generated ") }
